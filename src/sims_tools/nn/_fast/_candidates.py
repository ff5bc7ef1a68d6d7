"""Candidates that turn out too low to be selected, dropped while scores are still being screened."""

from __future__ import annotations

import numpy as np

from ._jit import Array, compiled, inlined
from ._threshold import threshold

_SLACK = 1e-6
"""Rounding error that a bound must allow for."""

_SAMPLED = 8
"""Cells of a chunk, about, that tell whether dropping is worth it."""


@inlined
def drop(
    first: int,
    n: int,
    begin: int,
    end: int,
    best: Array,
    margin: float,
    entmax: bool,
    low: Array,
    held: Array,
    cells: Array,
    genes: Array,
    scores: Array,
) -> int:
    """Raise each cell's bound to the threshold of its candidates and drop what is below; returns the new end."""
    if end - begin <= 4 * n:
        return end
    every = max(1, n // _SAMPLED)
    if every > 1 and _raise_bounds(first, n, every, begin, end, best, margin, entmax, low, held, cells, scores) > 0.5:
        return end
    _raise_bounds(first, n, np.int64(1), begin, end, best, margin, entmax, low, held, cells, scores)
    at = begin
    held[:] = 0
    for e in range(begin, end):
        cell, score = cells[e], scores[e]
        above = score > low[cell - first]
        cells[at], genes[at], scores[at] = cell, genes[e], score
        held[cell - first] += above
        at += above
    return at


@compiled
def _raise_bounds(
    first: int,
    n: int,
    every: int,
    begin: int,
    end: int,
    best: Array,
    margin: float,
    entmax: bool,
    low: Array,
    held: Array,
    cells: Array,
    scores: Array,
) -> float:
    """Bounds of every so manieth cell from its candidates; returns the share of these that is above."""
    starts = np.zeros(n + 1, np.int64)
    for r in range(n):
        starts[r + 1] = starts[r] + (held[r] if r % every == 0 else 0)
    values, place = np.empty(starts[-1], scores.dtype), starts[:-1].copy()
    half = 1 / margin
    for e in range(begin, end):
        r = cells[e] - first
        if starts[r + 1] > starts[r]:
            values[place[r]] = (scores[e] - best[r]) * half
            place[r] += 1
    above = 0
    for r in range(n):
        if starts[r + 1] > starts[r]:
            tau = threshold(values[starts[r] : starts[r + 1]], entmax, -1.0)
            bound = scores.dtype.type(best[r] + margin * tau)
            bound -= abs(bound) * scores.dtype.type(_SLACK) + scores.dtype.type(_SLACK)
            low[r] = bound if bound > low[r] else low[r]
            for e in range(starts[r], starts[r + 1]):
                above += values[e] > tau
    return above / max(1, starts[-1])
