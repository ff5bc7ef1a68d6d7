"""Several references read as one: their rows one below the other, their genes matched, no copy of all of it made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import pandas as pd
from scipy import sparse

from ._kind import InputKind
from ._labels import Labels
from ._named import naming
from ._panels import Panels
from ._reference import Proteins, Reference
from ._shared_genes import SharedGenes
from ._store import Block, Store, stacked

_SAME = 0.99
"""Share of the counts of a reference on genes that another has, from which on totals of both are the same."""


@dataclass(frozen=True)
class JoinedReference:
    """Cells of several references; what a :class:`~sims_tools.data._reference.Reference` can do, it can.

    Of files, and of matrices in memory, blocks of rows are read whenever they are needed. :meth:`in_memory` makes one
    matrix of all cells; before that, :meth:`take_genes` leaves the genes that a model is trained on.

    Attributes
    ----------
    stores
        The references, in order.
    genes
        Their genes.
    labels
        Of all cells.
    proteins, read_from
        None, and empty.
    """

    stores: tuple[Store, ...]
    genes: SharedGenes
    labels: Labels
    proteins: Proteins | None = None
    read_from: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Of the references."""
        return [store.name for store in self.stores]

    @property
    def var_names(self) -> pd.Index:
        """(n_genes,) names of the genes."""
        return self.genes.names

    @cached_property
    def totals(self) -> np.ndarray:
        """(n_obs,) total of each cell over all genes of its reference."""
        return self.stores[0].totals if len(self.stores) == 1 else np.concatenate([s.totals for s in self.stores])

    @cached_property
    def reference_of(self) -> np.ndarray:
        """(n_obs,) position of the reference that each cell is of."""
        return np.repeat(np.arange(len(self.stores)), [store.adata.n_obs for store in self.stores])

    @cached_property
    def obs_names(self) -> pd.Index:
        """(n_obs,) names of the cells, followed by that of the reference where they are not unique."""
        names = pd.Index(np.concatenate([np.asarray(store.adata.obs_names, dtype=object) for store in self.stores]))
        if names.is_unique:
            return names
        return names + "-" + pd.Index(np.array(self.names, dtype=object)[self.reference_of])

    @property
    def kind(self) -> InputKind:
        """Values are given on a linear scale."""
        return InputKind("linear")

    def panels(self, names: pd.Index) -> Panels | None:
        """What the references measured of some genes; None where neither that nor totals tell them apart.

        Totals do where in a reference more than one count in a hundred is of genes that another one lacks.
        """
        measured = self.genes.take(self.var_names.get_indexer(names)).measured
        shared = [store.shared_totals for store in self.stores if store.shared_totals is not None]
        if not shared:
            return None
        felt = any(part.sum(axis=0).min() < _SAME * part.sum(axis=0).max() for part in shared)
        return None if measured.all() and not felt else Panels(measured, self.reference_of, np.concatenate(shared))

    def parts(self, values: np.ndarray) -> list[np.ndarray]:
        """Values (n_obs, ...) of each reference's cells."""
        return np.split(values, np.cumsum([store.adata.n_obs for store in self.stores])[:-1])

    def linear_blocks(self, rows: np.ndarray, size: int = 4096) -> Iterator[Block]:
        """Linear values (n, n_genes) and totals (n,) of some cells, whose indices rise, block by block."""
        wanted = np.zeros(len(self.totals), dtype=bool)
        wanted[rows] = True
        return _cut(self._blocks(self.parts(wanted)), size)

    def _blocks(self, wanted: Sequence[np.ndarray | None]) -> Iterator[Block]:
        for store, match, cells in zip(self.stores, self.genes.matches, wanted, strict=True):
            yield from store.blocks(cells, match)

    def measured_counts(self, rows: np.ndarray) -> np.ndarray | None:
        """(n_classes, n_genes) some cells of each class that each gene was measured in; None where it was in all."""
        measured = self.genes.measured
        if measured.all():
            return None
        table = np.zeros((len(self.labels.classes), len(self.stores)))
        np.add.at(table, (self.labels.codes[rows], self.reference_of[rows]), 1.0)
        return table @ measured

    def take_genes(self, columns: np.ndarray) -> Self:
        """The same cells with some of the genes, still where they are; totals stay those of all genes."""
        return replace(self, genes=self.genes.take(columns))

    @cached_property
    def n_values(self) -> int:
        """Values that are stored of these genes."""
        return sum(
            int(store.n_stored[match.columns[match.found]].sum())
            for store, match in zip(self.stores, self.genes.matches, strict=True)
        )

    @property
    def n_bytes(self) -> int:
        """What the matrix would take that :meth:`in_memory` makes."""
        return 8 * self.n_values + 8 * len(self.totals)

    @property
    def column_major(self) -> list[str]:
        """Names of references of which a row can only be read with all others (CSC, in a file)."""
        return [store.name for store in self.stores if store.column_major]

    def read(self, rows: np.ndarray) -> Block:
        """Linear values (n, n_genes) and totals (n,) of some cells, whose indices rise; few enough to be in memory."""
        cuts = np.searchsorted(rows, self._starts[1:])
        parts = [
            store.read(own - first, match)
            for store, match, first, own in zip(
                self.stores, self.genes.matches, self._starts, np.split(rows, cuts), strict=True
            )
            if len(own)
        ]
        return stacked(parts)

    @cached_property
    def _starts(self) -> np.ndarray:
        """(n_stores,) index of the first cell of each."""
        return np.cumsum([0, *(store.adata.n_obs for store in self.stores[:-1])])

    def block_starts(self, size: int) -> np.ndarray:
        """Rows at which runs begin that are read together: about `size` rows of a reference, by how it stores them."""
        runs = [store.run_starts(size) + first for store, first in zip(self.stores, self._starts, strict=True)]
        return np.concatenate(runs)

    @property
    def rows_of_chunk(self) -> int:
        """Rows that are read at once, about, whichever of them are wanted, in the reference where these are most."""
        return max(store.rows_of_chunk for store in self.stores)

    def check_unchanged(self) -> None:
        """Raise RuntimeError where a file is another than it was when it was opened."""
        for store in self.stores:
            with naming(store.name):
                store.check_unchanged()

    def in_memory(self) -> Reference:
        """The same in one matrix."""
        return Reference(self._matrix(), self.totals, self.labels, self.obs_names, self.genes.names, self.kind)

    def _matrix(self) -> sparse.csr_matrix:
        """Filled block by block: its size is known beforehand, and nothing is held twice."""
        n_values = self.n_values
        dtype = np.int32 if n_values <= np.iinfo(np.int32).max else np.int64
        values, indices = np.empty(n_values, np.float32), np.empty(n_values, dtype)
        lengths, start = [np.zeros(1, dtype)], 0
        for linear, _ in self._blocks([None] * len(self.stores)):
            stop = start + linear.nnz
            values[start:stop], indices[start:stop] = linear.data, linear.indices
            lengths.append(np.diff(linear.indptr))
            start = stop
        indptr = np.cumsum(np.concatenate(lengths), dtype=dtype)
        matrix = sparse.csr_matrix((values, indices, indptr), shape=(len(self.totals), len(self.genes.names)))
        matrix.has_canonical_format = True
        return matrix


def _cut(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """The same rows in blocks of one size, the last one what is left."""
    held: list[Block] = []
    for block in blocks:
        held.append(block)
        while (n_held := sum(len(totals) for _, totals in held)) >= size:
            linear, totals = stacked(held)
            yield linear[:size], totals[:size]
            held = [(linear[size:], totals[size:])] if n_held > size else []
    if held:
        yield stacked(held)


def join_labels(labels: Sequence[Labels]) -> Labels:
    """Labels of all cells over the classes that any reference has.

    Classes keep their order where it is the same in all; otherwise they are sorted by name.
    """
    classes = pd.Index(labels[0].classes)
    for each in labels[1:]:
        if not classes.equals(own := pd.Index(each.classes)):
            classes = classes.union(own).sort_values()
    codes = []
    for each in labels:
        at = np.append(classes.get_indexer(each.classes), -1)
        codes.append(at[each.codes])
    return Labels(np.concatenate(codes).astype(np.int64), classes.to_numpy(dtype=object))
