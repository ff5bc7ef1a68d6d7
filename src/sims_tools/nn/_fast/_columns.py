"""Stored entries of a minibatch, column by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._jit import Array, compiled, inlined, run_tasks
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


@inlined
def by_column(
    low: int, high: int, first: int, last: int, indptr: Array, indices: Array, values: Array, starts: Array
) -> tuple[Array, Array]:
    """Entries of some rows among columns low to high, column by column.

    Parameters
    ----------
    low, high
        Range of columns.
    first, last
        Range of rows.
    indptr, indices, values
        CSR, columns rising in each row.
    starts
        (high - low + 1,), written: where each column starts in the result.

    Returns
    -------
    Row and value of each entry, rows rising within a column.
    """
    starts[:] = 0
    begins = np.empty(last - first, np.int64)
    _count_entries(low, high, first, last, indptr, indices, begins, starts[1:])
    for j in range(high - low):
        starts[j + 1] += starts[j]
    rows, ordered = np.empty(starts[-1], np.int32), np.empty(starts[-1], values.dtype)
    _place_entries(low, high, first, last, indptr, indices, values, begins, starts[:-1].copy(), rows, ordered)
    return rows, ordered


@compiled
def _count(task: int, stripe: int, indptr: Array, indices: Array, begins: Array, counts: Array) -> None:
    """Entries of each column of one stripe, one place further on, and where the stripe begins in each row."""
    low, high = task * stripe, min((task + 1) * stripe, len(counts) - 1)
    _count_entries(low, high, np.int64(0), len(indptr) - 1, indptr, indices, begins[task], counts[low + 1 : high + 1])


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
    _place_entries(low, high, np.int64(0), len(indptr) - 1, indptr, indices, values, begins[task], place, rows, ordered)


@inlined
def _count_entries(
    low: int, high: int, first: int, last: int, indptr: Array, indices: Array, begins: Array, counts: Array
) -> None:
    """Entries of some rows in each of the columns low to high, added, and where these begin in each row."""
    for r in range(first, last):
        at, end = indptr[r], indptr[r + 1]
        at += np.searchsorted(indices[at:end], low)
        begins[r - first] = at
        while at < end and indices[at] < high:
            counts[indices[at] - low] += 1
            at += 1


@inlined
def _place_entries(
    low: int,
    high: int,
    first: int,
    last: int,
    indptr: Array,
    indices: Array,
    values: Array,
    begins: Array,
    place: Array,
    rows: Array,
    ordered: Array,
) -> None:
    """Copy them to where their columns have room, from `place` on."""
    for r in range(first, last):
        at, end = begins[r - first], indptr[r + 1]
        while at < end and indices[at] < high:
            j = indices[at] - low
            rows[place[j]], ordered[place[j]] = r, values[at]
            place[j] += 1
            at += 1
