"""Stored entries of a minibatch, column by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._jit import Array, compiled, run_tasks
from ._memory import like, unset

_TASKS, _ENTRIES = 16, 1 << 15
"""Tasks, at most, and entries that make one worth its search for them in each row."""


@dataclass(frozen=True)
class Columns:
    """CSC of a sparse (B, p) matrix.

    Attributes
    ----------
    starts
        (p + 1,) int64 where each column begins.
    rows, values
        (n_stored,) int32 row and value of each entry, rows rising within a column.
    """

    starts: np.ndarray
    rows: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, n_columns: int) -> Columns:
        """Bring the entries of a CSR matrix, columns rising in each row, into this order."""
        n_tasks = max(1, min(_TASKS, len(values) // _ENTRIES))
        stripe = -(-n_columns // n_tasks)
        begins = unset((n_tasks, len(indptr) - 1), np.int64)
        counts = np.zeros(n_columns + 1, np.int64)
        run_tasks(_count, n_tasks, stripe, indptr, indices, begins, counts)
        starts = counts.cumsum()
        rows, ordered = unset((len(values),), np.int32), like(values)
        run_tasks(_fill, n_tasks, stripe, indptr, indices, values, begins, starts, rows, ordered)
        return cls(starts, rows, ordered)


@compiled
def _count(task: int, stripe: int, indptr: Array, indices: Array, begins: Array, counts: Array) -> None:
    """Entries of each column of one stripe, one place further on, and where the stripe begins in each row."""
    low, high = task * stripe, min((task + 1) * stripe, len(counts) - 1)
    own = counts[low + 1 : high + 1]
    for r in range(len(indptr) - 1):
        at, end = indptr[r], indptr[r + 1]
        at += np.searchsorted(indices[at:end], low)
        begins[task, r] = at
        while at < end and indices[at] < high:
            own[indices[at] - low] += 1
            at += 1


@compiled
def _fill(
    task: int,
    stripe: int,
    indptr: Array,
    indices: Array,
    values: Array,
    begins: Array,
    starts: Array,
    rows: Array,
    ordered: Array,
) -> None:
    low, high = task * stripe, min((task + 1) * stripe, len(starts) - 1)
    place = starts[low:high].copy()
    for r in range(len(indptr) - 1):
        at, end = begins[task, r], indptr[r + 1]
        while at < end and indices[at] < high:
            j = indices[at] - low
            rows[place[j]], ordered[place[j]] = r, values[at]
            place[j] += 1
            at += 1
