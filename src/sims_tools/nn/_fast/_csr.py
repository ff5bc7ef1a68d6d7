"""Products of sparse rows with dense matrices, in the order that keeps both in the cache."""

from __future__ import annotations

import numpy as np

from ._gathered import add_gathered
from ._jit import Array, compiled

_ROWS, _FEWEST = 256, 32
"""Rows of a task, at most and at least."""

STRIPE_BYTES = 1 << 19
"""Of the dense matrix at a time."""


def rows_of_task(n_rows: int) -> int:
    """Rows in a block: while a stripe of a dense matrix is in the cache, all of them read it."""
    return min(_ROWS, max(_FEWEST, -(-n_rows // 4)))


@compiled
def rows_product(
    task: int, block: int, stripe: int, indptr: Array, indices: Array, values: Array, dense: Array, out: Array
) -> None:
    """``out[r] = sum_e values[e] * dense[indices[e]]`` for one block of rows.

    Parameters
    ----------
    task, block
        Number of the block of rows, rows in a block.
    stripe
        Rows of `dense` that fit the cache.
    indptr, indices, values
        CSR (B, p).
    dense
        (p, width).
    out
        (B, width), written.
    """
    low, high = task * block, min((task + 1) * block, len(indptr) - 1)
    position = indptr[low:high].copy()
    out[low:high] = 0
    for limit in range(stripe, len(dense) + stripe, stripe):
        for r in range(low, high):
            at, last = position[r - low], indptr[r + 1]
            end = at
            while end < last and indices[end] < limit:
                end += 1
            position[r - low] = end
            if end > at:
                add_gathered(values, indices, at, end, dense, out, r)


@compiled
def columns_product(
    task: int,
    stripe: int,
    starts: Array,
    rows: Array,
    values: Array,
    dense: Array,
    scale: Array,
    shift: Array,
    total: Array,
    table: Array,
    compare: bool,
    fresh: bool,
    out: Array,
    dots: Array,
    total_dots: Array,
) -> None:
    """Transposed product ``line_j = sum_e values[e] * dense[row of e]`` over the entries of column j, for one stripe.

    Parameters
    ----------
    task
        Number of the stripe of columns.
    stripe
        Columns of a stripe.
    starts, rows, values
        Entries column by column, see :class:`Columns`.
    dense
        (B, width).
    scale, shift
        (p,).
    total
        (width,).
    table
        (p, width).
    compare
        Whether there are scale and shift, and the last two are wanted.
    fresh
        Nothing has been written to `out` yet.
    out
        (p, width); ``scale_j * line_j + shift_j * total`` is added.
    dots, total_dots
        (p,), written: ``table_j . line_j`` and ``table_j . total``.
    """
    low, high = task * stripe, min((task + 1) * stripe, len(out))
    width = dense.shape[1]
    gathered = np.zeros((1, width), out.dtype)
    line = gathered[0]
    for j in range(low, high):
        at, end = starts[j], starts[j + 1]
        own = out[j]
        if fresh:
            own[:] = 0
        if not compare:
            add_gathered(values, rows, at, end, dense, out, j)
            continue
        line[:] = 0
        add_gathered(values, rows, at, end, dense, gathered, np.int64(0))
        factor, constant, row = scale[j], shift[j], table[j]
        along, along_total = out.dtype.type(0), out.dtype.type(0)
        for k in range(width):
            own[k] += factor * line[k] + constant * total[k]
            along += row[k] * line[k]
            along_total += row[k] * total[k]
        dots[j], total_dots[j] = along, along_total


@compiled
def weighted_sum(task: int, stripe: int, weights: Array, dense: Array, out: Array) -> None:
    """``out[task] = sum_j weights[j] * dense[j]`` over the rows j of one stripe."""
    sums = out[task]
    sums[:] = 0
    for j in range(task * stripe, min((task + 1) * stripe, len(weights))):
        weight, row = weights[j], dense[j]
        for k in range(len(sums)):
            sums[k] += weight * row[k]


@compiled
def entry_dots(
    task: int, block: int, stripe: int, indptr: Array, indices: Array, left: Array, right: Array, out: Array
) -> None:
    """``out[e] = left[row of e] . right[indices[e]]`` for the entries of one block of rows.

    Parameters
    ----------
    task, block
        Number of the block of rows, rows in a block.
    stripe
        Rows of `right` that fit the cache.
    indptr, indices
        Pattern (B, p).
    left
        (B, width).
    right
        (p, width).
    out
        (n_stored,), written.
    """
    low, high = task * block, min((task + 1) * block, len(indptr) - 1)
    width = right.shape[1]
    position = indptr[low:high].copy()
    for limit in range(stripe, len(right) + stripe, stripe):
        for r in range(low, high):
            at, last = position[r - low], indptr[r + 1]
            own = left[r]
            while at < last and indices[at] < limit:
                other = right[indices[at]]
                total = right.dtype.type(0)
                for k in range(width):
                    total += own[k] * other[k]
                out[at] = total
                at += 1
            position[r - low] = at


@compiled
def column_moments(
    task: int, stripe: int, n_rows: int, starts: Array, values: Array, mean: Array, variance: Array
) -> None:
    """Mean and population variance of each column of one stripe, zeros counted.

    Parameters
    ----------
    task
        Number of the stripe.
    stripe
        Columns of a stripe.
    n_rows
        Number of rows.
    starts, values
        Entries column by column.
    mean, variance
        (p,), written.
    """
    for j in range(task * stripe, min((task + 1) * stripe, len(mean))):
        stored = values[starts[j] : starts[j + 1]]
        total = 0.0
        for value in stored:
            total += value
        centre = total / n_rows
        squares = centre * centre * (n_rows - len(stored))
        for value in stored:
            squares += (value - centre) ** 2
        mean[j], variance[j] = centre, squares / n_rows


@compiled
def affine(
    task: int, block: int, indptr: Array, indices: Array, values: Array, scale: Array, shift: Array, out: Array
) -> None:
    """``out[e] = values[e] * scale[j] + shift[j]`` with j the column of e, for one block of rows."""
    for r in range(task * block, min((task + 1) * block, len(indptr) - 1)):
        for e in range(indptr[r], indptr[r + 1]):
            out[e] = values[e] * scale[indices[e]] + shift[indices[e]]
