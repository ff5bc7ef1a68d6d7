"""One row iterator over every kind of storage: array, CSR, CSC, view, backed, zarr, dask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._validate import check_positive

from ._cells_in_file import FileCells
from ._rows import StoredRows

SAMPLE = 1024
"""Rows from which is told what values are."""


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
    Index of the first row, and the rows as a float32 `csr_matrix` (at most `size`, n_vars). No more than `size` rows
    are in memory at a time, but for CSC (a sixteenth of the rows) and dask (a chunk).
    """
    check_positive("size", size)
    rows = StoredRows(adata, layer)
    for run in rows.pieces(size):
        piece = rows.read(run)
        for offset in range(0, piece.shape[0], size):
            yield run.start + offset, piece if piece.shape[0] <= size else piece[offset : offset + size]


def sample_rows(
    adata: AnnData | FileCells, layer: str | None = None, n_rows: int = SAMPLE, pieces: int = 8
) -> sparse.csr_matrix:
    """Some rows spread evenly over the object, in a few contiguous reads."""
    rows = StoredRows(adata, layer)
    positions = sample_positions(rows.n_rows, n_rows, pieces)
    if rows.column_major:  # one scan for all
        return rows.read(positions)
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
    return sparse.vstack([rows.read(slice(int(run[0]), int(run[-1]) + 1)) for run in runs], format="csr")


def sample_positions(n_obs: int, n_rows: int = SAMPLE, pieces: int = 8) -> np.ndarray:
    """All of so many rows, or some in runs that are spread evenly; they rise."""
    if n_obs <= n_rows:
        return np.arange(n_obs)
    length = max(n_rows // pieces, 1)
    starts = np.linspace(0, n_obs - length, pieces).astype(int)
    return np.unique(starts[:, None] + np.arange(length))
