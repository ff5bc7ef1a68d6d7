"""Cells of the user's object on the features of a model, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from anndata import AnnData
from scipy import sparse

from ._align import GeneMatch
from ._blocks import iter_blocks
from ._kind import InputKind, resolve_kind
from ._rows import StoredRows


class CellRows(Protocol):
    """Reads cells on a linear scale."""

    n_obs: int
    kind: InputKind

    def blocks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
        """Walk over all cells: index of the first, linear values (n, n_query) and totals (n,)."""
        ...

    def read(self, positions: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Linear values (n, n_query) and totals (n,) of some cells."""
        ...


class GeneRows:
    """Reads cells of one matrix of genes.

    Parameters
    ----------
    adata
        Stored any way; it is only read.
    layer
        Layer of the values; None is `.X`.
    input_kind
        What they are, as :func:`~sims_tools.data._kind.resolve_kind` takes it.
    totals
        (n_obs,) totals to use instead of those of the values.
    """

    def __init__(
        self, adata: AnnData, layer: str | None, input_kind: str | InputKind, totals: np.ndarray | None = None
    ) -> None:
        self._adata, self._layer, self._totals = adata, layer, totals
        self.kind, self.n_obs = resolve_kind(adata, layer, input_kind), adata.n_obs

    def blocks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
        """See :class:`CellRows`."""
        for start, block in iter_blocks(self._adata, self._layer, size):
            known = None if self._totals is None else self._totals[start : start + block.shape[0]]
            yield start, *self.kind.to_linear(block, known)

    def read(self, positions: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """See :class:`CellRows`."""
        known = None if self._totals is None else self._totals[positions]
        return self.kind.to_linear(StoredRows(self._adata, self._layer).read(positions), known)


class Query:
    """Cells as a model reads them.

    Parameters
    ----------
    rows
        Reads the cells.
    match
        Their features on the model's.

    Attributes
    ----------
    n_obs
        Number of cells.
    kind
        What the values of genes are.
    """

    def __init__(self, rows: CellRows, match: GeneMatch) -> None:
        self._rows, self.match, self.n_obs, self.kind = rows, match, rows.n_obs, rows.kind

    def blocks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
        """Walk over all cells, `size` at a time: index of the first, linear values (n, n_features), totals (n,)."""
        for start, linear, totals in self._rows.blocks(size):
            yield start, self.match.select(linear), totals

    def read(self, positions: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Linear values (n, n_features) and totals (n,) of some cells."""
        linear, totals = self._rows.read(positions)
        return self.match.select(linear), totals
