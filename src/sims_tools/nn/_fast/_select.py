"""Selected genes of each cell, out of its candidates."""

from __future__ import annotations

import numpy as np

from ._jit import ROWS, Array, compiled
from ._scores import segment
from ._threshold import threshold


@compiled
def order_by_cell(
    task: int,
    first_rows: Array,
    stripes: Array,
    highest: Array,
    counts: Array,
    cells: Array,
    genes: Array,
    scores: Array,
    half: float,
    places: Array,
    by_cell: Array,
    values: Array,
) -> None:
    """Bring the candidates of one chunk and stripe to where their cells have them.

    Parameters
    ----------
    task, first_rows, stripes, counts, cells, genes, scores
        Of :func:`screen_scores`.
    highest
        (n_rows,) largest score of each cell.
    half
        Factor on the scores less the highest: 1/2 for entmax15, 1 for sparsemax.
    places
        (n_rows, n_stripes) where those of a cell and stripe begin; where they end, afterwards.
    by_cell, values
        Written: genes and scores, cell by cell.
    """
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    n = first_rows[chunk + 1] - first_rows[chunk]
    begin = segment(first_rows[chunk], n, stripes[-1], stripes[stripe])
    factor = scores.dtype.type(half)
    for e in range(begin, begin + counts[chunk, stripe]):
        r = cells[e]
        to = places[r, stripe]
        by_cell[to], values[to] = genes[e], (scores[e] - highest[r]) * factor
        places[r, stripe] = to + 1


@compiled
def select(
    task: int,
    starts: Array,
    highest: Array,
    entmax: bool,
    limit: int,
    genes: Array,
    values: Array,
    selected: Array,
    levels: Array,
) -> None:
    """Selected genes and their shares in place of the candidates, for one block of cells.

    Parameters
    ----------
    task
        Number of the block.
    starts
        (n_rows + 1,) where the candidates of each cell begin.
    highest
        (n_rows,) largest score of each cell. One without a finite maximum selects one gene with share NaN.
    entmax
        entmax15 in place of sparsemax.
    limit
        As in :func:`settle`.
    genes, values
        What :func:`order_by_cell` wrote; there is room for one more at the end.
    selected
        (n_rows,), written: number of selected genes of each cell.
    levels
        (n_rows,), written: the threshold in units of the scores. A selected gene's score is this plus its share, or for
        entmax15 plus twice the root of its share.
    """
    for r in range(task * ROWS, min((task + 1) * ROWS, len(selected))):
        begin, end = starts[r], starts[r + 1]
        if not -np.inf < highest[r] < np.inf:
            selected[r], levels[r] = 0, highest[r]
            continue
        selected[r], tau = settle(genes[begin:end], values[begin:end], entmax, limit, -1.0)
        levels[r] = highest[r] + (2 * tau if entmax else tau)


@compiled
def settle(genes: Array, values: Array, entmax: bool, limit: int, least: float) -> tuple[int, float]:
    """Bring the selected genes of one cell and their shares to the front; returns how many they are, and tau.

    Parameters
    ----------
    genes, values
        Candidates, genes rising, and their scores less the highest; halved for entmax15. Overwritten.
    entmax, least
        As :func:`threshold` takes them.
    limit
        Only so many of the largest scores count, and those that equal the smallest of them.
    """
    tau = threshold(values, entmax, least)
    n = _bring_forward(genes, values, len(values), np.nextafter(tau, np.inf))
    if n > limit:  # without the others the threshold is lower: all that stay are selected
        smallest = largest(values[:n], limit)
        n = _bring_forward(genes, values, n, smallest)
        tau = threshold(values[:n], entmax, -1.0)
    for e in range(n):
        share = values[e] - tau
        values[e] = share * share if entmax else share
    return n, tau


@compiled
def largest(values: Array, k: int) -> float:
    """The k-th largest of some numbers (quickselect, Hoare 1961)."""
    rest, low, high = values.copy(), 0, len(values) - 1
    at = k - 1
    while low < high:
        pivot, i, j = rest[(low + high) // 2], low, high
        while i <= j:
            while rest[i] > pivot:
                i += 1
            while rest[j] < pivot:
                j -= 1
            if i <= j:
                rest[i], rest[j] = rest[j], rest[i]
                i, j = i + 1, j - 1
        if at <= j:
            high = j
        elif at >= i:
            low = i
        else:
            break
    return rest[at]


@compiled
def _bring_forward(genes: Array, values: Array, n: int, least: float) -> int:
    """Of the first n those whose value is `least` or more; returns how many they are."""
    at = 0
    for e in range(n):  # written in any case: whether it counts cannot be foreseen
        value = values[e]
        genes[at], values[at] = genes[e], value
        at += value >= least
    return at


@compiled
def pack(
    task: int, starts: Array, genes: Array, values: Array, selected: Array, to: Array, indices: Array, shares: Array
) -> None:
    """Copy the selected genes of one block of cells to their places among those of all steps.

    Parameters
    ----------
    task
        Number of the block.
    starts, genes, values, selected
        As :func:`select` left them.
    to
        (n_rows + 1,) where the cells begin in the next two.
    indices, shares
        Written.
    """
    for r in range(task * ROWS, min((task + 1) * ROWS, len(selected))):
        n = selected[r]
        if n == 0 and to[r + 1] > to[r]:  # no finite maximum
            indices[to[r]], shares[to[r]] = 0, np.nan
        own_genes, own_values = genes[starts[r] : starts[r] + n], values[starts[r] : starts[r] + n]
        for e in range(n):
            indices[to[r] + e], shares[to[r] + e] = own_genes[e], own_values[e]
