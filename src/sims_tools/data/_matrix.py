"""Rows of any stored matrix as float32 CSR, read-only."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._validate import listing


def get_matrix(adata: AnnData, layer: str | None = None) -> Any:
    """`adata.X` or `adata.layers[layer]` as it is stored: array, sparse, backed or dask.

    Raises
    ------
    KeyError
        `layer` is not in `adata.layers`.
    ValueError
        The object holds no matrix, no cells or no genes.
    """
    if layer is not None and layer not in adata.layers:
        raise KeyError(f"`layer={layer!r}` is not in `adata.layers`, which has {listing(adata.layers.keys())}.")
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(f"`adata` is empty: it has {adata.n_obs} cells and {adata.n_vars} genes.")
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise ValueError("`adata.X` is None; name the layer that holds the counts with `layer=`.")
    return matrix


def is_in_memory(matrix: Any) -> bool:
    """Whether the rows can be taken without reading a file or running a graph."""
    return isinstance(matrix, np.ndarray) or sparse.issparse(matrix)


def is_column_major(matrix: Any) -> bool:
    """Whether taking rows means scanning every column (CSC, in memory or backed)."""
    return getattr(matrix, "format", None) == "csc"


def as_csr(block: Any) -> sparse.csr_matrix:
    """A block of rows as a float32 `csr_matrix`; shares memory with `block` where that is possible."""
    if hasattr(block, "compute"):  # dask
        block = block.compute()
    if not sparse.issparse(block):
        block = np.asarray(block)
        if block.dtype == object or block.dtype.kind not in "biuf":
            raise TypeError(f"The matrix holds values of type {block.dtype}; expected numbers (raw counts).")
    return sparse.csr_matrix(block).astype(np.float32, copy=False)


def row_sums(block: sparse.csr_matrix) -> np.ndarray:
    """Total of each row, (n_rows,) float64."""
    sums = np.zeros(block.shape[0])
    filled = np.flatnonzero(np.diff(block.indptr))
    if filled.size:
        sums[filled] = np.add.reduceat(block.data, block.indptr[:-1][filled], dtype=np.float64)
    return sums


def with_data(block: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    """The same sparsity pattern (shared) with other values."""
    return sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape)
