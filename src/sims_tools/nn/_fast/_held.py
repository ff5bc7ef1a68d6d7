"""Scores of all genes held, a row for each cell: the way where much is selected, or the genes are few."""

from __future__ import annotations

import math

import numpy as np

from ._jit import ROWS, Array, compiled, inlined, run_tasks
from ._memory import unset
from ._product import LANES, set_product
from ._select import settle
from ._vectors import UNROLLED, bits_above, largest_of, lowest_bit, sums_above

PANEL = UNROLLED * LANES
"""Genes whose weights lie together."""

PANELS = 64
"""Panels of a task."""

_FEW = 128
"""Scores above a level that are so few that going over all scores again costs more than going over these."""

_MANY = 0.2
"""Share of the scores above a level that is so large that each is looked at."""

_WORTH = 0.04
"""Scores that a round must have excluded, as a part of all, for another round to be worth its time."""

_SLACK = 1e-4
"""Part of the margin by which a bound is lowered for the rounding errors of its sums."""


def panels(weight: np.ndarray) -> np.ndarray:
    """(n_panels, n_a, PANEL) weights (p, n_a), genes last and padded with zeros."""
    n_panels = -(-len(weight) // PANEL)
    out = unset((n_panels, weight.shape[1], PANEL), weight.dtype)
    run_tasks(turn, -(-n_panels // PANELS), weight, out)
    return out


@compiled
def turn(task: int, weight: Array, out: Array) -> None:
    for panel in range(task * PANELS, min((task + 1) * PANELS, len(out))):
        start = panel * PANEL
        size = min(PANEL, len(weight) - start)
        for k in range(weight.shape[1]):
            for j in range(size):
                out[panel, k, j] = weight[start + j, k]
            for j in range(size, PANEL):
                out[panel, k, j] = 0


@compiled
def hold_scores(
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
    held: Array,
) -> None:
    """Scores, before earlier masks count, of one chunk of cells among one stripe of genes.

    Parameters
    ----------
    task
        chunk * n_stripes + stripe.
    features
        (n_rows, n_a).
    stripes
        (n_stripes + 1,) first panel of each stripe.
    weight
        (n_panels, n_a, PANEL) of :func:`panels`.
    first_rows, gain, bias, mean, variance, measure, eps, prior
        As in :func:`screen_scores`.
    held
        (n_rows, n_panels * PANEL), written; minus infinity in the padding.
    """
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    first, n = first_rows[chunk], first_rows[chunk + 1] - first_rows[chunk]
    own = chunk if len(variance) > 1 else 0
    tile = np.empty((n, PANEL), held.dtype)
    factor, offset = np.empty(PANEL, held.dtype), np.empty(PANEL, held.dtype)
    for panel in range(stripes[stripe], stripes[stripe + 1]):
        start = panel * PANEL
        size = min(PANEL, len(gain) - start)
        set_product(features, first, n, weight[panel], 0, PANEL, tile, 0, 0)
        if measure:
            _squares(tile, factor)
        for j in range(size):
            if measure:
                variance[own, start + j] = factor[j] / n
            slope = prior * gain[start + j] / math.sqrt(variance[own, start + j] + eps)
            offset[j] = prior * bias[start + j] - (0.0 if measure else mean[own, start + j] * slope)
            factor[j] = slope
        factor[size:] = 0
        offset[size:] = -np.inf
        for r in range(n):
            line, out = tile[r], held[first + r, start : start + PANEL]
            for j in range(PANEL):
                out[j] = line[j] * factor[j] + offset[j]


@inlined
def _squares(tile: Array, out: Array) -> None:
    """Sum of the squares of each column."""
    out[:] = 0
    for r in range(len(tile)):
        line = tile[r]
        for j in range(len(line)):
            out[j] += line[j] * line[j]


@compiled
def select_held(
    task: int,
    held: Array,
    entmax: bool,
    limit: int,
    used_start: Array,
    used_gene: Array,
    used_ratio: Array,
    genes: Array,
    values: Array,
    selected: Array,
    levels: Array,
) -> None:
    """Selected genes and their shares in one block of cells.

    Parameters
    ----------
    task
        Number of the block of `ROWS` cells.
    held
        (B, n_padded) of :func:`hold_scores`; what earlier masks leave of the prior is taken in.
    entmax, used_start, used_gene, used_ratio
        As in :func:`screen_scores`.
    limit
        As in :func:`settle`.
    genes, values
        (B, n_padded), written: selected genes, rising, and their shares, from the start of each row.
    selected, levels
        As in :func:`select`.
    """
    margin = held.dtype.type(2.0 if entmax else 1.0)
    half = held.dtype.type(1.0) / margin
    lanes = np.empty(3 * LANES, held.dtype)
    for r in range(task * ROWS, min((task + 1) * ROWS, len(held))):
        line = held[r]
        for t in range(len(used_start)):
            for e in range(used_start[t, r], used_start[t, r + 1]):
                line[used_gene[e]] *= used_ratio[e]
        highest = _largest(line, lanes)
        if not -np.inf < highest < np.inf:
            selected[r], levels[r] = 0, highest
            continue
        tau, number = _bound(line, highest, margin, entmax, lanes)
        tau -= _SLACK * (1 + abs(highest))
        level = held.dtype.type(highest + margin * tau)
        n = _gather(line, level, highest, half, number > _MANY * len(line), genes[r], values[r])
        selected[r], tau = settle(genes[r, :n], values[r, :n], entmax, limit, max(tau, -1.0))
        levels[r] = highest + margin * tau


@inlined
def _gather(line: Array, level: float, highest: float, half: float, many: bool, genes: Array, values: Array) -> int:
    """Genes above a level and ``(score - highest) * half``; returns how many."""
    n = 0
    if many:
        for j in range(len(line)):  # written in any case: whether it counts cannot be foreseen
            genes[n], values[n] = j, (line[j] - highest) * half
            n += line[j] > level
        return n
    for start in range(0, len(line), LANES):
        bits = bits_above(line, level, start)
        while bits != 0:
            j = start + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            genes[n], values[n] = j, (line[j] - highest) * half
            n += 1
    return n


@inlined
def _largest(line: Array, lanes: Array) -> float:
    largest_of(line, lanes)
    highest = lanes[0]
    for value in lanes[:LANES]:
        highest = value if value > highest else highest
    return highest


@inlined
def _bound(line: Array, highest: float, margin: float, entmax: bool, lanes: Array) -> tuple[float, float]:
    """A lower bound of the threshold, close to it where many scores are above, and how many are: by Newton's method."""
    tau, before = -1.0, np.inf
    while True:
        sums_above(line, line.dtype.type(highest + margin * tau), lanes)
        number, total = _sum(lanes[:LANES]), _sum(lanes[LANES : 2 * LANES]) / margin
        squares = _sum(lanes[2 * LANES :]) / margin**2
        if number <= _FEW or before - number < _WORTH * len(line):
            return tau, number
        step = (math.sqrt(squares) - 1) * math.sqrt(squares) / total if entmax else (total - 1) / number
        if not step > 0:
            return tau, number
        tau, before = tau + step, number


@compiled
def _sum(values: Array) -> float:
    total = 0.0
    for value in values:
        total += value
    return total
