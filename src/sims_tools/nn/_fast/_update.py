"""Passes over all weights after the backward pass, as if they were one long row, shared among threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ._addresses import row_at
from ._jit import Array, compiled, inlined, run_tasks

_BLOCK = 1 << 16
"""Numbers of a task."""

_SUMMED = 1024
"""Numbers that are summed in their own precision before the sum is taken into one of double precision."""


class Rows:
    """Tensors of one type on the CPU, dense in memory, as rows that lie where they lie.

    Parameters
    ----------
    tensors
        Some; they must outlive this.
    alike
        Rows of the same sizes.
    """

    def __init__(self, tensors: Sequence[Tensor], alike: Rows | None = None) -> None:
        self.places = np.array([each.data_ptr() for each in tensors], np.int64)
        if alike is None:
            bounds = np.concatenate([[0], np.cumsum([each.numel() for each in tensors])]).astype(np.int64)
            self.bounds, self.like = bounds, np.empty(0, tensors[0].detach().numpy().dtype)
        else:
            self.bounds, self.like = alike.bounds, alike.like

    @property
    def n_tasks(self) -> int:
        """Number of blocks that all of them are worked on in."""
        return -(-int(self.bounds[-1]) // _BLOCK)


def sum_of_squares(rows: Rows) -> float:
    """Of all numbers, in double precision."""
    parts = np.zeros(rows.n_tasks)
    run_tasks(_squares, len(parts), rows.bounds, rows.places, rows.like, parts)
    return float(parts.sum())


def adam_step(
    weights: Rows,
    grads: Rows,
    means: Rows,
    squares: Rows,
    steps: Rows,
    *,
    factor: float,
    rate: float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    penalty: float,
) -> None:
    """One step of Adam (Kingma and Ba 2015); all but the gradients are updated.

    Parameters
    ----------
    weights, grads, means, squares
        Tensors of the same sizes, each lying in memory as its weight does.
    steps
        Number of steps so far, one number for each weight, float32.
    factor
        On the gradient.
    rate
        Learning rate.
    betas
        Decay of mean and square.
    eps
        Added to the root of the square.
    decay
        What the weights lose before the step (AdamW, Loshchilov and Hutter 2019).
    penalty
        Weight decay that is added to the gradient (Adam).
    """
    rates = np.empty((2, len(steps.places)))
    _count_step(steps.places, steps.like, rate, *betas, rates)
    numbers = (weights.like.dtype.type(each) for each in (factor, *betas, eps, 1 - decay, penalty))
    places = np.stack([each.places for each in (weights, grads, means, squares)])
    run_tasks(_adam, weights.n_tasks, weights.bounds, places, weights.like, rates.astype(weights.like.dtype), *numbers)


def move_towards(averages: Rows, values: Rows, share: float) -> None:
    """``averages += share * (values - averages)``."""
    number = averages.like.dtype.type(share)
    run_tasks(_move, values.n_tasks, values.bounds, averages.places, values.places, values.like, number)


@inlined
def _part(row: int, task: int, bounds: Array) -> tuple[int, int]:
    """Where the numbers of a task begin and end within a row."""
    size = bounds[row + 1] - bounds[row]
    return max(task * _BLOCK - bounds[row], np.int64(0)), min((task + 1) * _BLOCK - bounds[row], size)


@inlined
def _rows_of(task: int, bounds: Array) -> tuple[Any, Any]:
    """First row that a task works on, and the one after the last."""
    first = np.searchsorted(bounds, task * _BLOCK, side="right") - 1
    return first, np.searchsorted(bounds, min((task + 1) * _BLOCK, bounds[-1]), side="left")


@compiled
def _squares(task: int, bounds: Array, places: Array, like: Array, parts: Array) -> None:
    first, last = _rows_of(task, bounds)
    total = 0.0
    for row in range(first, last):
        low, high = _part(row, task, bounds)
        values = row_at(places[row], high, like)
        for start in range(low, high, _SUMMED):
            some = like.dtype.type(0)
            for i in range(start, min(start + _SUMMED, high)):
                some += values[i] * values[i]
            total += some
    parts[task] = total


@compiled
def _count_step(places: Array, like: Array, rate: float, beta_mean: float, beta_square: float, rates: Array) -> None:
    """Count one step for each row, and work out its learning rate and the scale of its square."""
    for row in range(len(places)):
        step = row_at(places[row], 1, like)
        step[0] += 1
        rates[0, row] = rate / (1 - beta_mean ** step[0])
        rates[1, row] = math.sqrt(1 - beta_square ** step[0])


@compiled
def _adam(
    task: int,
    bounds: Array,
    places: Array,
    like: Array,
    rates: Array,
    factor: float,
    beta_mean: float,
    beta_square: float,
    eps: float,
    kept: float,
    penalty: float,
) -> None:
    first, last = _rows_of(task, bounds)
    one = like.dtype.type(1)
    for row in range(first, last):
        low, high = _part(row, task, bounds)
        slope, root = rates[0, row], rates[1, row]
        w, g, m, v = (
            row_at(places[0, row], high, like)[low:],
            row_at(places[1, row], high, like)[low:],
            row_at(places[2, row], high, like)[low:],
            row_at(places[3, row], high, like)[low:],
        )
        for i in range(high - low):
            coming = g[i] * factor + penalty * w[i]
            m[i] = m[i] * beta_mean + coming * (one - beta_mean)
            v[i] = v[i] * beta_square + coming * coming * (one - beta_square)
            w[i] = w[i] * kept - slope * m[i] / (np.sqrt(v[i]) / root + eps)


@compiled
def _move(task: int, bounds: Array, averages: Array, values: Array, like: Array, share: float) -> None:
    first, last = _rows_of(task, bounds)
    for row in range(first, last):
        low, high = _part(row, task, bounds)
        a, b = row_at(averages[row], high, like), row_at(values[row], high, like)
        for i in range(low, high):
            a[i] += share * (b[i] - a[i])
