"""A sparse minibatch as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._csr import BLOCK


@dataclass(frozen=True)
class Stored:
    """A sparse (B, p) matrix as arrays: row starts, columns, values."""

    indptr: np.ndarray
    indices: np.ndarray
    values: np.ndarray

    @property
    def n_rows(self) -> int:
        """Number B of rows."""
        return len(self.indptr) - 1

    @property
    def n_blocks(self) -> int:
        """Blocks of rows that tasks work on."""
        return -(-self.n_rows // BLOCK)
