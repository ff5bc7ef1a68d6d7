"""Rows of a CSR matrix in an HDF5 or zarr file."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

_SKIPPED = 1 << 16
"""Values that are rather read along than skipped, where the file has no chunks: reading anew takes as long."""

_READ = 1 << 21
"""Values that are read at a time, about, where some are read along."""


class StoredCSR:
    """Reads runs of rows.

    anndata looks up the version of a package at every slice (0.12), which takes longer than to read a hundred rows.

    Parameters
    ----------
    matrix
        What anndata made of the stored matrix.
    """

    def __init__(self, matrix: Any) -> None:
        self.shape: tuple[int, int] = tuple(matrix.shape)
        self._group = matrix.group

    @cached_property
    def _arrays(self) -> tuple[Any, Any, np.ndarray]:
        """Values and columns in the file, and in memory where each row begins."""
        return self._group["data"], self._group["indices"], self._group["indptr"][:]

    @cached_property
    def _chunk(self) -> int | None:
        """Values of a chunk, which is read and decompressed whole; None where the file has none."""
        sizes = [array.chunks[0] for array in self._arrays[:2] if array.chunks]
        return max(sizes) if sizes else None

    @property
    def chunk_starts(self) -> np.ndarray | None:
        """(n,) first row that begins in each chunk, as far as one does; None where there are no chunks."""
        if self._chunk is None:
            return None
        ends = self._arrays[2]
        starts = np.searchsorted(ends[:-1], np.arange(0, max(int(ends[-1]), 1), self._chunk))
        return np.unique(starts[starts < self.shape[0]])

    def __getitem__(self, rows: slice) -> sparse.csr_matrix:
        values, columns, ends = self._arrays
        indptr = ends[rows.start : rows.stop + 1]
        stored = slice(int(indptr[0]), int(indptr[-1]))
        block = sparse.csr_matrix((rows.stop - rows.start, self.shape[1]), dtype=values.dtype)
        block.data, block.indices, block.indptr = values[stored], columns[stored], indptr - indptr[0]
        return block

    def cuts(self, rows: np.ndarray) -> np.ndarray:
        """Where rising rows are cut, so that what lies between two of a piece is read along and chunks are read once.

        That is where a whole chunk lies between them, and where a piece gets long.
        """
        chunk = self._chunk or _SKIPPED
        begins, ends = (self._arrays[2][rows + at] for at in (0, 1))
        first, last = begins // chunk, np.maximum(ends - 1, begins) // chunk
        return np.flatnonzero((first[1:] - last[:-1] > 1) | (np.diff(first // max(_READ // chunk, 1)) > 0)) + 1


def is_stored_csr(matrix: Any) -> bool:
    """Whether it is anndata's handle of a CSR matrix in a file."""
    return getattr(matrix, "format", None) == "csr" and hasattr(matrix, "group")
