"""Any stored matrix, and blocks of its rows as float32 CSR; read-only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._validate import check_object, listing

from ._cells_in_file import FileCells

_AT_ONCE = 1 << 15
"""Values that are summed at once."""


def check_matrix(adata: AnnData | FileCells, layer: str | None = None) -> None:
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
    if not isinstance(adata, AnnData | FileCells):
        check_object(adata, "an AnnData object")
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


def parent_of(adata: Any) -> Any:
    """The object that a view shows a part of (never a view itself); any other object as it is."""
    return adata._adata_ref if adata.is_view else adata


def is_in_memory(matrix: Any) -> bool:
    """Whether the rows can be taken without reading a file or running a graph."""
    return isinstance(matrix, np.ndarray) or sparse.issparse(matrix)


def n_stored(matrix: Any) -> int:
    """Values that a matrix stores; what is dense stores all."""
    group = getattr(matrix, "group", None)
    if group is not None:
        return int(group["data"].shape[0])
    return int(matrix.nnz) if sparse.issparse(matrix) else int(matrix.shape[0]) * int(matrix.shape[1])


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
    rows = sparse.csr_matrix(block)
    return canonical(with_data(rows, rows.data.astype(np.float32, copy=False)))


def canonical(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """The same rows with rising columns and none repeated: shared where they are so already, else a float32 copy.

    The object itself is not changed, neither its arrays nor what scipy remembers of their order.
    """
    n_stored = int(matrix.indptr[-1])  # the arrays may be longer
    arrays = matrix.data[:n_stored], matrix.indices[:n_stored], matrix.indptr
    rows = sparse.csr_matrix(arrays, shape=matrix.shape)
    if rows.has_canonical_format:
        return rows
    rows = sparse.csr_matrix((rows.data.astype(np.float32), rows.indices, rows.indptr), shape=matrix.shape, copy=True)
    rows.sum_duplicates()
    return rows


def take_canonical(matrix: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    """Some rows of a matrix that :func:`canonical` gave, in any order, as a float32 copy that is so, too."""
    taken = matrix[rows]
    taken.data = taken.data.astype(np.float32, copy=False)
    taken.has_canonical_format = True
    return taken


def run_of_rows(matrix: sparse.csr_matrix, rows: slice) -> sparse.csr_matrix:
    """Rows from start to stop of a CSR matrix, cut out in one piece, for which scipy would look at every column."""
    indptr = matrix.indptr[rows.start : rows.stop + 1]
    stored = slice(indptr[0], indptr[-1])
    arrays = matrix.data[stored], matrix.indices[stored], indptr - indptr[0]
    return sparse.csr_matrix(arrays, shape=(len(indptr) - 1, matrix.shape[1]))


def row_sums(block: sparse.csr_matrix) -> np.ndarray:
    """Total of each row, (n_rows,) float64."""
    sums = np.zeros(block.shape[0])
    filled = np.flatnonzero(np.diff(block.indptr))
    ends = np.append(block.indptr[filled], block.indptr[-1])
    step = max(1, _AT_ONCE * len(filled) // max(block.nnz, 1))
    for start in range(0, len(filled), step):
        part = filled[start : start + step]
        first, last = ends[start], ends[start + len(part)]
        values = block.data[first:last].astype(np.float64)  # few enough to stay in the cache
        sums[part] = np.add.reduceat(values, ends[start : start + len(part)] - first)
    return sums


def with_data(block: sparse.csr_matrix, data: np.ndarray) -> sparse.csr_matrix:
    """The same sparsity pattern (shared) with other values."""
    result = sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape)
    if getattr(block, "_has_canonical_format", False):  # looked at already
        result.has_canonical_format = True
    return result


def rows_of(matrix: sparse.csr_matrix) -> np.ndarray:
    """(n_stored,) row of each stored value."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
