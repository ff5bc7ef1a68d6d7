"""One of several references: what it holds, read block by block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import listing

from ._align import GeneMatch
from ._cells_in_file import FileCells
from ._kind import InputKind, resolve_kind
from ._labels import Labels, encode_labels, of_one_class
from ._matrix import check_matrix, is_in_memory
from ._obs_columns import obs_column
from ._reference import of_cells_with_counts
from ._rows import StoredRows

Block = tuple[sparse.csr_matrix, np.ndarray]
"""Linear values (n, n_genes) and totals (n,)."""

_READ = 4096


def stacked(blocks: Sequence[Block]) -> Block:
    """One below the other."""
    linear = blocks[0][0] if len(blocks) == 1 else sparse.vstack([block for block, _ in blocks], format="csr")
    linear.has_canonical_format = True
    return linear, np.concatenate([totals for _, totals in blocks])


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
    adata: AnnData | FileCells
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
        for run in self._rows.pieces(_READ):
            if wanted is None or wanted[run].all():
                yield self.read(run, match)
            elif wanted[run].any():
                yield self.read(run.start + np.flatnonzero(wanted[run]), match)

    @cached_property
    def _rows(self) -> StoredRows:
        return StoredRows(self.adata, self.layer)

    @property
    def column_major(self) -> bool:
        """Whether it is CSC in a file, which is scanned whole at each read."""
        return self._rows.column_major and not is_in_memory(self._rows.matrix)

    def run_starts(self, size: int) -> np.ndarray:
        """(n_runs,) first row of each run of rows that are read together: `size` rows, about."""
        return self._rows.run_starts(size)

    @property
    def rows_of_chunk(self) -> int:
        """Rows that are read at once, about, whichever of them are wanted."""
        return self._rows.rows_of_chunk

    def read(self, positions: slice | np.ndarray, match: GeneMatch) -> Block:
        """Linear values (n, n_genes) and totals (n,) of a run of cells, or of those of some rising positions.

        Raises
        ------
        ValueError
            Values are negative, NaN, infinite or too large; the message names the first of the cells.
        """
        if isinstance(positions, slice):
            return self._read(positions, match)
        return stacked([self._read(portion, match) for portion in self._rows.portions(positions)])

    def _read(self, positions: slice | np.ndarray, match: GeneMatch) -> Block:
        block = self._rows.read(positions)
        with _naming_rows(block, positions):
            linear, totals = self.kind.to_linear(block, self.totals[positions])
        return match.select(linear), totals

    def check_unchanged(self) -> None:
        """Raise RuntimeError where the file that holds the cells is another than it was."""
        if isinstance(self.adata, FileCells):
            self.adata.check_unchanged()


def read_store(
    name: str,
    adata: AnnData | FileCells,
    labels_key: str | None,
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
        How it is read; without a column of labels all cells are of one class.
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
    labels = None
    if labels_key is not None:
        labels = encode_labels(obs_column(adata, labels_key, "labels_key"), unlabeled_category)
    if labels is not None and not len(labels.classes):
        raise ValueError(
            f"`adata.obs[{labels_key!r}]` has no label among {adata.n_obs} cells. Is this the right column, and is "
            "`unlabeled_category=` what you mean?"
        )
    kind = resolve_kind(adata, layer, input_kind)
    rows, totals, shared, n_stored = StoredRows(adata, layer), [], [], np.zeros(adata.n_vars, dtype=np.int64)
    weights = None if has is None else has.astype(np.float64)
    for run in rows.pieces(_READ):
        block = rows.read(run)
        with _naming_rows(block, run):
            linear, found = kind.to_linear(block)
        totals.append(found)
        if weights is not None:
            shared.append(linear @ weights)
        n_stored += np.bincount(linear.indices, minlength=adata.n_vars)
    total = np.concatenate(totals)
    shared_total = np.concatenate(shared) if shared else None
    labels = of_one_class(total) if labels is None else of_cells_with_counts(labels, total)
    return Store(name, adata, layer, kind, labels, total, shared_total, n_stored)


@contextmanager
def _naming_rows(block: sparse.csr_matrix, positions: slice | np.ndarray) -> Iterator[None]:
    """Say in an error about values which of the cells is the first to hold such."""
    try:
        yield
    except ValueError as error:
        wrong = np.flatnonzero(~np.isfinite(block.data) | (block.data < 0))
        at = int(wrong[0] if wrong.size else block.data.argmax())
        row = int(np.searchsorted(block.indptr, at, side="right")) - 1
        cell = positions.start + row if isinstance(positions, slice) else int(positions[row])
        raise ValueError(f"{error} The first such value is in row {cell} (counted from 0).") from None


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
