"""Rows of a CSR matrix in an HDF5 or zarr file."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

_GAP = 64
"""Rows between two wanted ones that are read along: a chunk of values holds more, and may be compressed."""

_READ = 4096
"""Rows that are read at a time at most, where some are read along."""


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

    def __getitem__(self, rows: slice | np.ndarray) -> sparse.csr_matrix:
        if isinstance(rows, slice):
            return self._run(rows.start, rows.stop)
        if not len(rows):
            return self._run(0, 0)
        apart = (np.diff(rows) > _GAP) | (np.diff(rows // _READ) != 0)
        runs = np.split(rows, np.flatnonzero(apart) + 1)
        return sparse.vstack([self._some(run) for run in runs], format="csr")

    def _some(self, rows: np.ndarray) -> sparse.csr_matrix:
        """Rows near each other, read as one run."""
        block = self._run(int(rows[0]), int(rows[-1]) + 1)
        return block if len(rows) == block.shape[0] else block[rows - rows[0]]

    def _run(self, start: int, stop: int) -> sparse.csr_matrix:
        values, columns, ends = self._arrays
        indptr = ends[start : stop + 1]
        stored = slice(int(indptr[0]), int(indptr[-1]))
        block = sparse.csr_matrix((stop - start, self.shape[1]), dtype=values.dtype)
        block.data, block.indices, block.indptr = values[stored], columns[stored], indptr - indptr[0]
        return block


def is_stored_csr(matrix: Any) -> bool:
    """Whether it is anndata's handle of a CSR matrix in a file."""
    return getattr(matrix, "format", None) == "csr" and hasattr(matrix, "group")
