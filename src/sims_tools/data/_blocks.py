"""One row iterator over every kind of storage: array, CSR, CSC, view, backed, zarr, dask."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._validate import check_positive

from ._rows import StoredRows


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


def sample_rows(adata: AnnData, layer: str | None = None, n_rows: int = 1024, pieces: int = 8) -> sparse.csr_matrix:
    """Some rows spread evenly over the object, in a few contiguous reads."""
    rows = StoredRows(adata, layer)
    if rows.n_rows <= n_rows:
        return rows.read(slice(0, rows.n_rows))
    length = max(n_rows // pieces, 1)
    starts = np.linspace(0, rows.n_rows - length, pieces).astype(int)
    if rows.column_major:  # one scan for all
        return rows.read((starts[:, None] + np.arange(length)).ravel())
    return sparse.vstack([rows.read(slice(start, start + length)) for start in starts.tolist()], format="csr")
