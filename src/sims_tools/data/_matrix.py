"""Any stored matrix, and blocks of its rows as float32 CSR; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._validate import listing


def check_matrix(adata: AnnData, layer: str | None = None) -> None:
    """Raise where there is nothing to read; what a view shows is not copied.

    Raises
    ------
    KeyError
        `layer` is not in `adata.layers`.
    TypeError
        `adata` is something else.
    ValueError
        The object holds no matrix, no cells or no genes.
    """
    if not isinstance(adata, AnnData):
        modalities = getattr(adata, "mod", None)
        hint = f" Give one of its modalities: {listing(modalities)}." if isinstance(modalities, Mapping) else ""
        raise TypeError(f"`adata` is a {type(adata).__name__}; expected an AnnData object.{hint}")
    names = [name for name in adata.layers if name is not None]  # anndata >= 0.13 keeps X under None
    if layer is not None and layer not in names:
        raise KeyError(f"`layer={layer!r}` is not in `adata.layers`, which has {listing(names)}.")
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(f"`adata` is empty: it has {adata.n_obs} cells and {adata.n_vars} genes.")
    if layer is None and parent_of(adata).X is None:
        raise ValueError("`adata.X` is None; name the layer that holds the counts with `layer=`.")


def parent_of(adata: AnnData) -> AnnData:
    """The object that a view shows a part of (never a view itself); any other object as it is."""
    return adata._adata_ref if adata.is_view else adata


def is_in_memory(matrix: Any) -> bool:
    """Whether the rows can be taken without reading a file or running a graph."""
    return isinstance(matrix, np.ndarray) or sparse.issparse(matrix)


def is_dask(matrix: Any) -> bool:
    """Whether the matrix is a graph still to be run."""
    return hasattr(matrix, "compute")


def is_column_major(matrix: Any) -> bool:
    """Whether taking rows means scanning every column (CSC, in memory or backed)."""
    return getattr(matrix, "format", None) == "csc"


def as_csr(block: Any) -> sparse.csr_matrix:
    """A block of rows as a float32 `csr_matrix` without repeated entries.

    It shares memory with `block` where that is possible and never changes it.

    Raises
    ------
    TypeError
        The values are not real numbers.
    """
    if is_dask(block):
        block = block.compute()
    if not sparse.issparse(block):
        block = np.asarray(block)
    dtype = block.dtype
    if dtype.kind not in "biuf":
        raise TypeError(f"The matrix holds values of type {dtype}; expected numbers (raw counts).")
    if not dtype.isnative or (dtype.kind == "f" and dtype.itemsize < 4):  # which scipy does not know
        block = block.astype(np.float32)
    rows = sparse.csr_matrix(block).astype(np.float32, copy=False)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


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
