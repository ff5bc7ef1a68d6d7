"""Runs of rows out of a stored matrix, where it lies: array, CSR, CSC, view, backed, zarr, dask."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any, Self

import numpy as np
from anndata import AnnData
from scipy import sparse

from ._cells_in_file import FileCells
from ._matrix import as_csr, check_matrix, is_column_major, is_dask, is_in_memory, parent_of, run_of_rows
from ._stored_csr import StoredCSR, is_stored_csr

_COLUMN_MAJOR_READS = 16
"""A CSC matrix is scanned whole at every read, so it is read in few large pieces."""

_SLABS = 8
"""Of a CSC matrix in a file, so many runs of columns are in memory one after the other."""

_SKIPPED = 64
"""Rows of a dense file without chunks that are rather read along than skipped."""

_READ = 4096
"""Rows that are in memory at a time, about, before some of them, or of their genes, are taken."""


class StoredRows:
    """Reads rows of an object; of a view, from its parent, so that no more is copied than what is asked for.

    Parameters
    ----------
    adata
        Any AnnData, or cells in a file; they are only read.
    layer
        Name of the layer; None reads `.X`.

    Raises
    ------
    KeyError
        `layer` is not in `adata.layers`.
    ValueError
        The object holds no matrix, no cells or no genes.
    """

    def __init__(self, adata: AnnData | FileCells, layer: str | None = None) -> None:
        check_matrix(adata, layer)
        parent = parent_of(adata)
        self.matrix: Any = parent.X if layer is None else parent.layers[layer]
        self.n_rows: int = adata.n_obs
        self.column_major = is_column_major(self.matrix)
        self._rows: np.ndarray | None = None
        self._columns: np.ndarray | None = None
        if parent is not adata:
            view: Any = adata
            self._rows = _positions(view._oidx, parent.n_obs)
            self._columns = _positions(view._vidx, parent.n_vars)

    @classmethod
    def of_matrix(cls, matrix: Any) -> Self:
        """Reads a matrix that belongs to no object."""
        rows = cls.__new__(cls)
        rows.matrix, rows.n_rows, rows.column_major = matrix, int(matrix.shape[0]), is_column_major(matrix)
        rows._rows = rows._columns = None
        return rows

    def read(self, positions: slice | np.ndarray) -> sparse.csr_matrix:
        """Some rows, (n, n_vars) float32 CSR.

        Parameters
        ----------
        positions
            A run of rows as a slice with start and stop, or their indices.
        """
        if self._rows is not None:
            positions = self._rows[positions]
        return take_rows(self._stored, positions, self._columns)

    @cached_property
    def _stored(self) -> Any:
        """The matrix, as it is read quickest."""
        return StoredCSR(self.matrix) if is_stored_csr(self.matrix) else self.matrix

    def run_starts(self, size: int) -> np.ndarray:
        """(n_runs,) first row of each run of rows that are read together: `size` rows, about.

        Where a file has chunks, a run is some of them, or part of one; of dask it is some at least.
        """
        chunks = None if self._rows is not None or is_dask(self.matrix) else _chunk_starts(self._stored)
        if chunks is None:
            return np.array([run.start for run in self.pieces(size)])
        return _even_starts(chunks, self.n_rows, size)

    @cached_property
    def rows_of_chunk(self) -> int:
        """Rows that are read at once, about, whichever of them are wanted; 1 where each can be read by itself."""
        chunks = _chunk_starts(self._stored)
        return 1 if chunks is None else -(-int(self.matrix.shape[0]) // len(chunks))

    def portions(self, positions: np.ndarray) -> list[np.ndarray]:
        """Rising positions (n,) cut into portions to read one after the other, so that none takes much memory.

        What is stored together, a chunk of a file or of dask, is read for one portion only, as far as rows end with it.
        """
        rows = positions if self._rows is None else self._rows[positions]
        if len(rows) and (np.diff(rows) > 0).all():
            return np.split(positions, _cuts(self._stored, rows))
        return np.split(positions, np.arange(_READ, len(rows), _READ))

    def read_dense(self, positions: slice | np.ndarray) -> np.ndarray:
        """Some rows, (n, n_vars) float32 array, for values that are mostly not zero.

        Parameters
        ----------
        positions
            A run of rows as a slice with start and stop, or their indices.
        """
        if not isinstance(self.matrix, np.ndarray) or self.matrix.dtype.kind not in "iuf":
            return self.read(positions).toarray()
        rows = positions if self._rows is None else self._rows[positions]
        block = self.matrix[rows] if self._columns is None else self.matrix[rows][:, self._columns]
        return np.asarray(block, dtype=np.float32)

    def pieces(self, size: int) -> Iterator[slice]:
        """Runs of rows to read at once: `size` rows, more where a smaller read costs as much (CSC, a dask chunk)."""
        if is_dask(self.matrix):
            yield from self._chunks(size)
            return
        step = max(size, -(-self.n_rows // _COLUMN_MAJOR_READS)) if self.column_major else size
        for start in range(0, self.n_rows, step):
            yield slice(start, min(start + step, self.n_rows))

    def _chunks(self, size: int) -> Iterator[slice]:
        ends = np.cumsum(self.matrix.chunks[0])
        if self._rows is not None:
            chunk = np.searchsorted(ends, self._rows, side="right")
            ends = np.append(np.flatnonzero(np.diff(chunk)) + 1, self.n_rows)
        start = 0
        while start < self.n_rows:
            last = np.searchsorted(ends, start + size, side="right") - 1  # the last end within reach
            if last < 0 or ends[last] <= start:
                last += 1
            yield slice(start, int(ends[last]))
            start = int(ends[last])


def take_rows(matrix: Any, rows: slice | np.ndarray, columns: np.ndarray | None = None) -> sparse.csr_matrix:
    """Rows of a stored matrix in any order, as float32 CSR; a run of rows in memory may be shared.

    Parameters
    ----------
    matrix
        Array, sparse, dask, or a matrix in an HDF5 or zarr file.
    rows
        A run of rows as a slice with start and stop, or their indices.
    columns
        Indices of the columns to keep; None keeps all.
    """
    if not isinstance(rows, slice):
        rows = _as_run(rows)
    if is_in_memory(matrix) or is_dask(matrix):
        is_csr = sparse.issparse(matrix) and matrix.format == "csr"
        block = run_of_rows(matrix, rows) if is_csr and isinstance(rows, slice) else matrix[rows]
        return as_csr(block if columns is None else block[:, columns])
    block = _read_file(matrix, rows)
    return block if columns is None else block[:, columns]


def _positions(index: Any, length: int) -> np.ndarray | None:
    """Positions that a view's index selects; None where it is everything in order."""
    every = np.arange(length)
    chosen = every[index if isinstance(index, slice) else np.asarray(index)]
    return None if np.array_equal(chosen, every) else chosen


def _as_run(positions: np.ndarray) -> slice | np.ndarray:
    """A slice where positions follow each other."""
    if len(positions) and (np.diff(positions) == 1).all():
        return slice(int(positions[0]), int(positions[-1]) + 1)
    return positions


def _read_file(matrix: Any, rows: slice | np.ndarray) -> sparse.csr_matrix:
    """Rows of an HDF5 or zarr matrix in any order, also repeated; files are read forwards only."""
    if is_column_major(matrix):
        return _rows_of_columns(matrix, rows)
    if isinstance(rows, slice) or not len(rows):
        return as_csr(matrix[rows if isinstance(rows, slice) else slice(0, 0)])
    unique, inverse = np.unique(rows, return_inverse=True)
    parts = []
    for near in np.split(unique, _cuts(matrix, unique)):
        first, last = int(near[0]), int(near[-1])
        part = as_csr(matrix[first : last + 1])
        parts.append(part if len(near) == part.shape[0] else part[near - first])
    block = parts[0] if len(parts) == 1 else sparse.vstack(parts, format="csr")
    return block if len(unique) == len(rows) and (inverse[1:] > inverse[:-1]).all() else block[inverse]


def _cuts(matrix: Any, rows: np.ndarray) -> np.ndarray:
    """Where rising rows are cut into pieces: where a piece is long, and where a chunk of a file lies between two rows.

    Rows of a piece are read in one go, along with what lies between them.
    """
    if isinstance(matrix, StoredCSR):
        return matrix.cuts(rows)
    if is_column_major(matrix):
        return np.empty(0, np.int64)
    if is_in_memory(matrix):
        return _changes(rows // _READ)
    starts = _chunk_starts(matrix)
    chunk = rows // _SKIPPED if starts is None else np.searchsorted(starts, rows, side="right")
    long = _changes(chunk // max(_READ // (_SKIPPED if starts is None else -(-int(matrix.shape[0]) // len(starts))), 1))
    return long if is_dask(matrix) else np.union1d(long, np.flatnonzero(np.diff(chunk) > 1) + 1)


def _changes(numbers: np.ndarray) -> np.ndarray:
    """Positions of numbers that differ from the one before."""
    return np.flatnonzero(np.diff(numbers)) + 1


def _chunk_starts(matrix: Any) -> np.ndarray | None:
    """(n_chunks,) first row of each chunk, from 0; None where rows are not stored in chunks."""
    if isinstance(matrix, StoredCSR):
        return matrix.chunk_starts
    if is_dask(matrix):
        return np.cumsum([0, *matrix.chunks[0][:-1]])
    chunks = getattr(matrix, "chunks", None)
    return None if not chunks else np.arange(0, matrix.shape[0], chunks[0])


def _even_starts(chunks: np.ndarray, n_rows: int, size: int) -> np.ndarray:
    """First rows of runs of about `size` rows, each of which is some chunks or part of one."""
    rows_of_chunk = n_rows / len(chunks)
    n_together = int(size / rows_of_chunk + 0.1)
    if n_together:
        return chunks[::n_together]
    n_parts = int(np.ceil(rows_of_chunk / size - 0.1))
    lengths = np.diff(np.append(chunks, n_rows))
    return np.unique(chunks[:, None] + lengths[:, None] * np.arange(n_parts) // n_parts)


def _rows_of_columns(matrix: Any, rows: slice | np.ndarray) -> sparse.csr_matrix:
    """Rows of a CSC matrix in a file, some columns at a time: it is never in memory whole."""
    width = -(-matrix.shape[1] // _SLABS)
    parts = [as_csr(matrix[:, start : start + width][rows]) for start in range(0, matrix.shape[1], width)]
    return sparse.hstack(parts, format="csr")
