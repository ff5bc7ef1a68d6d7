"""Masks of cells, read some rows at a time from where they are: in memory, or in the file of a lazily read object."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from ._rows import StoredRows

ROWS = 1 << 16
"""Cells that are read at a time."""


def runs_of_rows(n_obs: int) -> Iterator[slice]:
    """Runs of rows that are in memory one after the other, the same wherever they are, so that sums are, too."""
    return (slice(start, min(start + ROWS, n_obs)) for start in range(0, n_obs, ROWS))


class MaskRows:
    """Matrices of the same cells side by side.

    Parameters
    ----------
    parts
        Each (n_obs, ...): array, table, sparse, or dask.
    columns
        Which of all columns; None is all.

    Attributes
    ----------
    shape
        (n_obs, n_columns).
    """

    def __init__(self, parts: Sequence[Any], columns: np.ndarray | None = None) -> None:
        parts = [part.to_numpy() if isinstance(part, pd.DataFrame) else part for part in parts]
        self._parts, self._columns = parts, columns
        self._readers = [StoredRows.of_matrix(part) for part in parts]
        n_columns = sum(part.shape[1] for part in parts) if columns is None else len(columns)
        self.shape = int(parts[0].shape[0]), int(n_columns)

    def read(self, rows: slice | np.ndarray) -> sparse.csr_matrix:
        """Some cells (n, n_columns): a run as a slice with start and stop, or positions in any order."""
        blocks = [reader.read(rows) for reader in self._readers]
        block = blocks[0] if len(blocks) == 1 else sparse.csr_matrix(sparse.hstack(blocks, format="csr"))
        return block if self._columns is None else block[:, self._columns]

    def blocks(self) -> Iterator[tuple[slice, sparse.csr_matrix]]:
        """All cells, some at a time."""
        return ((run, self.read(run)) for run in runs_of_rows(self.shape[0]))

    def take(self, columns: np.ndarray) -> MaskRows:
        """The same cells with some of the columns."""
        return MaskRows(self._parts, columns if self._columns is None else self._columns[columns])

    def beside(self, other: MaskRows) -> MaskRows:
        """The columns of two, neither of which has been taken columns of."""
        return MaskRows([*self._parts, *other._parts])

    def dense_columns(self, columns: np.ndarray) -> np.ndarray:
        """A few columns (n_obs, n) of all cells."""
        found = np.empty((self.shape[0], len(columns)), dtype=np.float32)
        for run, block in self.blocks():
            found[run] = block[:, columns].toarray()
        return found

    def n_stored(self) -> np.ndarray:
        """(n_obs,) values that each cell stores."""
        return np.concatenate([np.zeros(0, dtype=np.intp), *(np.diff(block.indptr) for _, block in self.blocks())])
