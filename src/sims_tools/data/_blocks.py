"""One row iterator over every kind of storage: array, CSR, CSC, view, backed, dask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from ._matrix import as_csr, get_matrix, is_column_major

_COLUMN_MAJOR_READS = 16
"""A CSC matrix is scanned whole at every read, so it is read in few large pieces."""


def iter_blocks(adata: AnnData, layer: str | None = None, size: int = 1024) -> Iterator[tuple[int, sparse.csr_matrix]]:
    """Walk over the rows in order.

    Parameters
    ----------
    adata
        Any AnnData; it is only read.
    layer
        Name of the layer; None reads `.X`.
    size
        Rows per block.

    Yields
    ------
    Index of the first row, and the rows as a float32 `csr_matrix` (at most `size`, n_vars).
    """
    matrix = None if adata.is_view else get_matrix(adata, layer)
    column_major = is_column_major(matrix)
    step = max(size, -(-adata.n_obs // _COLUMN_MAJOR_READS)) if column_major else size
    for start in range(0, adata.n_obs, step):
        piece = as_csr(_read(adata, matrix, layer, slice(start, min(start + step, adata.n_obs))))
        for offset in range(0, piece.shape[0], size):
            yield start + offset, piece if step == size else piece[offset : offset + size]


def _read(adata: AnnData, matrix: Any, layer: str | None, rows: slice) -> Any:
    # a view's matrix is a fresh copy of all its rows at each access: take a view of the view instead
    return get_matrix(adata[rows], layer) if matrix is None else matrix[rows]


def sample_rows(adata: AnnData, layer: str | None = None, n_rows: int = 1024, pieces: int = 8) -> sparse.csr_matrix:
    """Some rows spread evenly over the object, in a few contiguous reads."""
    matrix = None if adata.is_view else get_matrix(adata, layer)
    if adata.n_obs <= n_rows or is_column_major(matrix):
        return as_csr(_read(adata, matrix, layer, slice(0, n_rows)))
    length = n_rows // pieces
    starts = np.linspace(0, adata.n_obs - length, pieces).astype(int)
    blocks = [as_csr(_read(adata, matrix, layer, slice(start, start + length))) for start in starts]
    return sparse.vstack(blocks, format="csr")
