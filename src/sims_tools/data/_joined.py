"""Several references read as one: their rows one below the other, their genes matched, no copy of all of it made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import listing

from ._align import GeneMatch
from ._kind import InputKind, resolve_kind
from ._labels import Labels, encode_labels
from ._matrix import check_matrix
from ._obs_columns import obs_column
from ._panels import Panels
from ._reference import Proteins, Reference, of_cells_with_counts
from ._rows import StoredRows
from ._shared_genes import SharedGenes

Block = tuple[sparse.csr_matrix, np.ndarray]

_READ = 4096

_SAME = 0.99
"""Share of the counts of a reference on genes that another has, from which on totals of both are the same."""


@dataclass(frozen=True)
class Store:
    """One of several references.

    Attributes
    ----------
    name
        What it is called.
    adata
        Its cells, only read; their matrix may lie in a file.
    layer
        Layer of the values; None is `.X`.
    kind
        What the values are.
    labels
        Of its cells; those without counts have none.
    totals
        (n_obs,) float64 total of each cell over all its genes, on a linear scale.
    shared_totals
        (n_obs, n_references) the same over the genes that each reference has; None where all have the same.
    n_stored
        (n_vars,) values that are stored of each gene.
    """

    name: str
    adata: AnnData
    layer: str | None
    kind: InputKind
    labels: Labels
    totals: np.ndarray
    shared_totals: np.ndarray | None
    n_stored: np.ndarray

    def blocks(self, wanted: np.ndarray | None, match: GeneMatch) -> Iterator[Block]:
        """Linear values (n, n_genes) and totals (n,) of some cells, as they are read.

        Parameters
        ----------
        wanted
            (n_obs,) bool; None is all cells.
        match
            Its genes on those of the result.
        """
        rows = StoredRows(self.adata, self.layer)
        for run in rows.pieces(_READ):
            if wanted is not None and not wanted[run].any():
                continue
            linear, totals = self.kind.to_linear(rows.read(run), self.totals[run])
            linear = match.select(linear)
            if wanted is not None and not wanted[run].all():
                linear, totals = linear[wanted[run]], totals[wanted[run]]
                linear.has_canonical_format = True
            yield linear, totals


def read_store(
    name: str,
    adata: AnnData,
    labels_key: str,
    has: np.ndarray | None,
    *,
    layer: str | None,
    unlabeled_category: str,
    input_kind: str,
) -> Store:
    """Check a reference and read once through it: what its values are, and the totals of each cell.

    Parameters
    ----------
    name, adata
        The reference.
    labels_key, layer, unlabeled_category, input_kind
        How it is read.
    has
        (n_vars, n_references) bool: genes of it that each reference has; None where all have the same.

    Raises
    ------
    KeyError
        `labels_key` or `layer` does not exist.
    ValueError
        No cells or genes, no labelled cell, values that are not expression.
    """
    check_matrix(adata, layer)
    labels = encode_labels(obs_column(adata, labels_key, "labels_key"), unlabeled_category)
    if not len(labels.classes):
        raise ValueError(
            f"`adata.obs[{labels_key!r}]` has no label among {adata.n_obs} cells. Is this the right column, and is "
            "`unlabeled_category=` what you mean?"
        )
    kind = resolve_kind(adata, layer, input_kind)
    rows, totals, shared, n_stored = StoredRows(adata, layer), [], [], np.zeros(adata.n_vars, dtype=np.int64)
    weights = None if has is None else has.astype(np.float64)
    for run in rows.pieces(_READ):
        linear, found = kind.to_linear(rows.read(run))
        totals.append(found)
        if weights is not None:
            shared.append(linear @ weights)
        n_stored += np.bincount(linear.indices, minlength=adata.n_vars)
    total = np.concatenate(totals)
    shared_total = np.concatenate(shared) if shared else None
    return Store(name, adata, layer, kind, of_cells_with_counts(labels, total), total, shared_total, n_stored)


@dataclass(frozen=True)
class JoinedReference:
    """Cells of several references; what a :class:`~sims_tools.data._reference.Reference` can do, it can.

    Of files, and of matrices in memory, blocks of rows are read whenever they are needed. :meth:`take_genes` makes one
    matrix of all cells with the genes that a model is trained on.

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
        return np.concatenate([store.totals for store in self.stores])

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

    @property
    def matrix(self) -> sparse.csr_matrix:
        """(n_obs, n_genes) CSR of all genes, made at each call."""
        return self._matrix(self.genes)

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

    def _blocks(self, wanted: Sequence[np.ndarray]) -> Iterator[Block]:
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

    def take_genes(self, columns: np.ndarray) -> Reference:
        """The same cells with some of the genes, in one matrix; totals stay those of all genes of each reference."""
        genes = self.genes.take(columns)
        return Reference(self._matrix(genes), self.totals, self.labels, self.obs_names, genes.names, self.kind)

    def _matrix(self, genes: SharedGenes) -> sparse.csr_matrix:
        """Filled block by block: its size is known beforehand, and nothing is held twice."""
        n_values = sum(
            int(store.n_stored[match.columns[match.found]].sum())
            for store, match in zip(self.stores, genes.matches, strict=True)
        )
        dtype = np.int32 if n_values <= np.iinfo(np.int32).max else np.int64
        values, indices = np.empty(n_values, np.float32), np.empty(n_values, dtype)
        lengths, start = [np.zeros(1, dtype)], 0
        for store, match in zip(self.stores, genes.matches, strict=True):
            for linear, _ in store.blocks(None, match):
                stop = start + linear.nnz
                values[start:stop], indices[start:stop] = linear.data, linear.indices
                lengths.append(np.diff(linear.indptr))
                start = stop
        indptr = np.cumsum(np.concatenate(lengths), dtype=dtype)
        matrix = sparse.csr_matrix((values, indices, indptr), shape=(len(self.totals), len(genes.names)))
        matrix.has_canonical_format = True
        return matrix

    def shadow(self, unlabeled_category: str) -> AnnData:
        """An AnnData that scvi-tools may register and write to, with all genes."""
        return self.take_genes(np.arange(len(self.var_names))).shadow(unlabeled_category)


def _cut(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """The same rows in blocks of one size, the last one what is left."""
    held: list[Block] = []
    for block in blocks:
        held.append(block)
        while (n_held := sum(len(totals) for _, totals in held)) >= size:
            linear, totals = _stacked(held)
            yield linear[:size], totals[:size]
            held = [(linear[size:], totals[size:])] if n_held > size else []
    if held:
        yield _stacked(held)


def _stacked(blocks: Sequence[Block]) -> Block:
    linear = blocks[0][0] if len(blocks) == 1 else sparse.vstack([block for block, _ in blocks], format="csr")
    linear.has_canonical_format = True
    return linear, np.concatenate([totals for _, totals in blocks])


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


def report_stores(stores: Sequence[Store]) -> None:
    """Say what each reference brings, and which classes only one of them has."""
    for store in stores:
        n_labelled = int((store.labels.codes >= 0).sum())
        logger.info(
            "Reference %r: %d cells, %d of them labelled, in %d classes; %d genes; values are %s.",
            store.name, store.adata.n_obs, n_labelled, len(store.labels.classes), store.adata.n_vars, store.kind.scale,
        )  # fmt: skip
    names, counts = np.unique(
        np.concatenate([store.labels.classes.astype(str) for store in stores]), return_counts=True
    )
    if len(stores) > 1 and (counts == 1).any():
        logger.info("Classes of one reference only: %s.", listing(names[counts == 1]))
