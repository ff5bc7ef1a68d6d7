"""Selected genes of each cell, out of its candidates."""

from __future__ import annotations

import numpy as np

from ._jit import Array, compiled
from ._scores import segment
from ._threshold import threshold


@compiled
def select(
    chunk: int,
    first_rows: Array,
    stripes: Array,
    top: Array,
    counts: Array,
    per_cell: Array,
    cells: Array,
    genes: Array,
    scores: Array,
    by_cell: Array,
    values: Array,
    entmax: bool,
    selected: Array,
    levels: Array,
) -> None:
    """Selected genes of the cells of one chunk, in place of their candidates.

    Parameters
    ----------
    chunk
        Number of the chunk.
    first_rows, stripes
        As in :func:`screen_scores`.
    top, counts, per_cell, cells, genes, scores
        What :func:`screen_scores` wrote. Written: `genes` and `scores`, from the first place of the chunk on, hold the
        selected genes and their shares, cell by cell. A cell without a finite maximum selects one gene with share NaN.
    by_cell, values
        (n_rows * p,) working space.
    entmax
        entmax15 in place of sparsemax.
    selected
        (n_rows,), written: number of selected genes of each cell.
    levels
        (n_rows,), written: the threshold in units of the scores. A selected gene's score is this plus its share, or for
        entmax15 plus twice the root of its share.
    """
    first, last = first_rows[chunk], first_rows[chunk + 1]
    n, n_genes = last - first, stripes[-1]
    half = scores.dtype.type(0.5 if entmax else 1.0)
    highest = np.empty(n, scores.dtype)
    for r in range(n):
        highest[r] = top[first + r].max()
    starts = np.zeros(n + 1, np.int64)
    for r in range(n):
        starts[r + 1] = starts[r] + per_cell[first + r].sum()
    begin = segment(first, n, n_genes, 0)
    gene, share = by_cell[begin : begin + starts[-1]], values[begin : begin + starts[-1]]
    place = starts[:-1].copy()
    for s in range(len(stripes) - 1):
        begin = segment(first, n, n_genes, stripes[s])
        for e in range(begin, begin + counts[chunk, s]):
            r = cells[e] - first
            to = place[r]
            gene[to], share[to] = genes[e], (scores[e] - highest[r]) * half
            place[r] = to + 1
    at = segment(first, n, n_genes, 0)
    for r in range(n):
        if not -np.inf < highest[r] < np.inf:
            selected[first + r], genes[at], scores[at] = 1, 0, np.nan
            at += 1
            continue
        own = share[starts[r] : starts[r + 1]]
        tau = threshold(own, entmax)
        levels[first + r] = highest[r] + tau / half
        begin = at
        for e in range(starts[r], starts[r + 1]):  # written in any case: whether it counts cannot be foreseen
            above = max(share[e] - tau, 0.0)
            genes[at], scores[at] = gene[e], above * above if entmax else above
            at += above > 0
        selected[first + r] = at - begin
