"""Scores of chunks where much can be selected: all are held, and bounds found by going over them together."""

from __future__ import annotations

import numpy as np

from ._jit import Array, compiled, run_tasks
from ._product import LANES
from ._scores import TILE, fill_tile, find_used, keep, segment

_ROUNDS = 12
"""Of Newton's method, at most: a bound that is too low costs time and nothing else."""

_WORTH = 0.04
"""Scores that a round must have excluded, as a part of all it goes over, for another round to be worth its time."""

_SLACK = 1e-4
"""Part of the margin by which a bound is lowered for the rounding errors of its sums."""


@compiled
def store_scores(
    task: int,
    features: Array,
    first_rows: Array,
    stripes: Array,
    weight: Array,
    gain: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    measure: bool,
    eps: float,
    prior: float,
    used_start: Array,
    used_gene: Array,
    used_ratio: Array,
    crowded: Array,
    held: Array,
    top: Array,
) -> None:
    """Scores of one crowded chunk of cells among one stripe of genes.

    Parameters
    ----------
    task, features, first_rows, stripes, weight, gain, bias, mean, variance, measure, eps, prior, used_start, used_gene,
    used_ratio, top
        As in :func:`screen_scores`.
    crowded
        (n_chunks,) bool, others are left alone.
    held
        (n_chunks, p, n_padded), written: scores, cells last.
    """
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    if not crowded[chunk]:
        return
    first, n = first_rows[chunk], first_rows[chunk + 1] - first_rows[chunk]
    n_padded = features.shape[2]
    height = max(4, TILE // n_padded)
    best = np.full(n_padded, -np.inf, weight.dtype)
    position = find_used(first, n, stripes[stripe], used_start, used_gene)
    own = chunk if len(variance) > 1 else 0
    for start in range(stripes[stripe], stripes[stripe + 1], height):
        size = min(height, stripes[stripe + 1] - start)
        fill_tile(
            held[chunk, start : start + size], start, size, first, n, features[chunk], weight, gain, bias, mean[own],
            variance[own], measure, eps, prior, used_start, used_gene, used_ratio, position, best,
        )  # fmt: skip
    for r in range(n):
        top[first + r, stripe] = best[r]


@compiled
def sum_above(
    task: int, first_rows: Array, stripes: Array, crowded: Array, held: Array, level: Array, factor: float, sums: Array
) -> None:
    """How many scores of a cell are above its level, by how much together, and the sum of the squares.

    Parameters
    ----------
    task, first_rows, stripes, crowded, held
        As in :func:`store_scores`.
    level
        (n_rows,).
    factor
        On what is above.
    sums
        (n_stripes, 3, n_rows) float64, written.
    """
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    if not crowded[chunk]:
        return
    first, n = first_rows[chunk], first_rows[chunk + 1] - first_rows[chunk]
    n_padded = held.shape[2]
    bound = np.full(n_padded, np.inf, held.dtype)
    bound[:n] = level[first : first + n]
    scale = held.dtype.type(factor)
    number, total, squares = np.zeros(n_padded), np.zeros(n_padded), np.zeros(n_padded)
    some = np.empty((3, n_padded), held.dtype)
    for start in range(stripes[stripe], stripes[stripe + 1], LANES):
        some[:] = 0
        for j in range(start, min(start + LANES, stripes[stripe + 1])):
            line = held[chunk, j]
            for r in range(n_padded):
                above = (line[r] - bound[r]) * scale
                above = above if above > 0 else held.dtype.type(0)
                some[0, r] += held.dtype.type(1) if above > 0 else held.dtype.type(0)
                some[1, r] += above
                some[2, r] += above * above
        for r in range(n_padded):
            number[r] += some[0, r]
            total[r] += some[1, r]
            squares[r] += some[2, r]
    sums[stripe, 0, first : first + n] = number[:n]
    sums[stripe, 1, first : first + n] = total[:n]
    sums[stripe, 2, first : first + n] = squares[:n]


@compiled
def keep_above(
    task: int,
    first_rows: Array,
    stripes: Array,
    crowded: Array,
    held: Array,
    level: Array,
    counts: Array,
    per_cell: Array,
    cells: Array,
    genes: Array,
    scores: Array,
) -> None:
    """Candidates of one crowded chunk and stripe, as :func:`screen_scores` would leave them."""
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    if not crowded[chunk]:
        return
    first, n = first_rows[chunk], first_rows[chunk + 1] - first_rows[chunk]
    n_padded = held.shape[2]
    bound = np.full(n_padded, np.inf, held.dtype)
    bound[:n] = level[first : first + n]
    number = np.zeros(n_padded, np.int64)
    begin = segment(first, n, stripes[-1], stripes[stripe])
    at = begin
    for j in range(stripes[stripe], stripes[stripe + 1]):
        at = keep(held[chunk, j], bound, n, first, j, number, cells, genes, scores, at)
    counts[chunk, stripe] = at - begin
    for r in range(n):
        per_cell[first + r, stripe] = number[r]


def bounds(
    first_rows: np.ndarray, stripes: np.ndarray, crowded: np.ndarray, held: np.ndarray, top: np.ndarray, *, entmax: bool
) -> np.ndarray:
    """(n_rows,) levels just below the thresholds of crowded cells.

    Newton's method, as in :func:`~sims_tools.nn._fast._threshold.threshold`, for all cells at once, from below.
    """
    n_tasks, margin = len(crowded) * (len(stripes) - 1), 2.0 if entmax else 1.0
    mine = np.repeat(crowded, np.diff(first_rows))
    highest = np.where(mine, top.max(1), 0.0)
    tau = np.full(len(mine), -1.0)
    sums = np.zeros((len(stripes) - 1, 3, len(mine)))
    before = np.inf
    for _ in range(_ROUNDS):
        level = (highest + margin * tau).astype(held.dtype)
        run_tasks(sum_above, n_tasks, first_rows, stripes, crowded, held, level, 1 / margin, sums)
        number, total, squares = sums.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            step = (np.sqrt(squares) - 1) * np.sqrt(squares) / total if entmax else (total - 1) / number
        step = np.where(mine & (step > 0), step, 0.0)
        tau += step
        above = number[mine].sum()
        if before - above < _WORTH * mine.sum() * stripes[-1]:
            break
        before = above
    return (highest + margin * (tau - _SLACK * (1 + np.abs(highest)))).astype(held.dtype)
