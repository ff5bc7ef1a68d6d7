"""A sparse minibatch as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ._columns import Columns
from ._csr import rows_of_task


@dataclass(frozen=True)
class Stored:
    """A sparse (B, p) matrix as arrays: row starts, columns, values, and how many columns there are."""

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Number B of rows."""
        return len(self.indptr) - 1

    @cached_property
    def columns(self) -> Columns:
        """The entries column by column."""
        return Columns.of(self.indptr, self.indices, self.values, self.n_columns)

    @property
    def block(self) -> int:
        """Rows in a block that a task works on."""
        return rows_of_task(self.n_rows)

    @property
    def n_blocks(self) -> int:
        """Number of blocks."""
        return -(-self.n_rows // self.block)
