"""Passes over large weights after the backward pass, shared among threads."""

from __future__ import annotations

import math

import numpy as np

from ._jit import Array, compiled, run_tasks

_BLOCK = 1 << 16
"""Weights of a task."""

_SUMMED = 1024
"""Weights that are summed in their own precision before the sum is taken into one of double precision."""


def sum_of_squares(values: np.ndarray) -> float:
    """Sum of the squares of a flat array, in double precision."""
    parts = np.empty(_n_tasks(values))
    run_tasks(_squares, len(parts), values, parts)
    return float(parts.sum())


def adam_step(
    weights: np.ndarray,
    grad: np.ndarray,
    mean: np.ndarray,
    square: np.ndarray,
    *,
    factor: float,
    rate: float,
    betas: tuple[float, float],
    eps: float,
    decay: float,
    penalty: float,
    step: int,
) -> None:
    """One step of Adam (Kingma and Ba 2015) on flat arrays of one length; `weights`, `mean` and `square` are updated.

    Parameters
    ----------
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
    step
        Number of this step, from 1 on.
    """
    slope, root = rate / (1 - betas[0] ** step), math.sqrt(1 - betas[1] ** step)
    kind = weights.dtype.type
    numbers = (kind(each) for each in (factor, slope, root, *betas, eps, 1 - decay, penalty))
    run_tasks(_adam, _n_tasks(weights), weights, grad, mean, square, *numbers)


def move_towards(averages: np.ndarray, values: np.ndarray, share: float) -> None:
    """``averages += share * (values - averages)`` on flat arrays."""
    run_tasks(_move, _n_tasks(values), averages, values, averages.dtype.type(share))


def _n_tasks(values: np.ndarray) -> int:
    return -(-len(values) // _BLOCK)


@compiled
def _squares(task: int, values: Array, parts: Array) -> None:
    total, end = 0.0, min((task + 1) * _BLOCK, len(values))
    for start in range(task * _BLOCK, end, _SUMMED):
        part = values[start : min(start + _SUMMED, end)]
        some = values.dtype.type(0)
        for i in range(len(part)):
            some += part[i] * part[i]
        total += some
    parts[task] = total


@compiled
def _adam(
    task: int,
    weights: Array,
    grad: Array,
    mean: Array,
    square: Array,
    factor: float,
    slope: float,
    root: float,
    beta_mean: float,
    beta_square: float,
    eps: float,
    kept: float,
    penalty: float,
) -> None:
    low, high = task * _BLOCK, (task + 1) * _BLOCK
    one = weights.dtype.type(1)
    w, g, m, v = weights[low:high], grad[low:high], mean[low:high], square[low:high]
    for i in range(len(w)):
        coming = g[i] * factor + penalty * w[i]
        m[i] = m[i] * beta_mean + coming * (one - beta_mean)
        v[i] = v[i] * beta_square + coming * coming * (one - beta_square)
        w[i] = w[i] * kept - slope * m[i] / (np.sqrt(v[i]) / root + eps)


@compiled
def _move(task: int, averages: Array, values: Array, share: float) -> None:
    a, b = averages[task * _BLOCK : (task + 1) * _BLOCK], values[task * _BLOCK : (task + 1) * _BLOCK]
    for i in range(len(a)):
        a[i] += share * (b[i] - a[i])
