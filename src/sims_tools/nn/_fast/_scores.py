"""Scores of all genes, a cache-sized tile at a time; only those that can be selected are kept."""

from __future__ import annotations

import math

import numpy as np

from ._candidates import drop
from ._jit import Array, compiled, inlined
from ._product import LANES, ROWS, set_product
from ._vectors import bits_above, lowest_bit

TILE = 4096
"""Scores in a tile (genes x cells), so that it stays in the innermost cache."""

_JUDGED, _CROWD = 256, 0.2
"""Genes after which a chunk is judged, and the share of them that makes a crowd."""


@compiled
def screen_scores(
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
    margin: float,
    entmax: bool,
    used_start: Array,
    used_gene: Array,
    used_ratio: Array,
    crowded: Array,
    top: Array,
    counts: Array,
    per_cell: Array,
    cells: Array,
    genes: Array,
    scores: Array,
) -> None:
    """Candidates of one chunk of cells among one stripe of genes.

    The score of gene j in cell r is ``prior * ratio * (gain * (w_j . a_r - mean) / sqrt(variance + eps) + bias)``. Only
    scores above the threshold can be selected. The threshold of the genes seen so far bounds it from below; it is
    worked out whenever their number has doubled, and what lies lower is dropped. So few more are kept than are
    selected, however many that is. Tiles hold genes in rows and cells in columns: the work on them is element by
    element.

    Parameters
    ----------
    task
        chunk * n_stripes + stripe.
    features
        (n_chunks, n_a, n_padded) attention features of each chunk, transposed, zero in the padding.
    first_rows
        (n_chunks + 1,) first cell of each chunk.
    stripes
        (n_stripes + 1,) first gene of each stripe.
    weight
        (p, n_a).
    gain, bias
        (p,) of the norm.
    mean, variance
        (n_chunks, p), or (1, p) for all chunks alike. `variance` is written where `measure`, and `mean` not read:
        features are centred then.
    measure
        Take the variance from the chunk.
    eps
        Of the norm.
    prior
        That of a gene no earlier mask has used.
    margin
        Width below the maximum that can be selected.
    entmax
        entmax15 in place of sparsemax.
    used_start
        (n_earlier, n_rows + 1) where each cell starts in the next two, for each earlier mask.
    used_gene, used_ratio
        Genes of earlier masks, rising in each cell, and what is left of their prior.
    crowded
        (1,) bool, set where so many of the first genes could be selected that another way is quicker. What else is
        written is of no use then.
    top
        (n_rows, n_stripes), written: largest score of the stripe.
    counts
        (n_chunks, n_stripes), written: number of candidates.
    per_cell
        (n_rows, n_stripes), written: how many of them are the cell's.
    cells, genes, scores
        (n_rows * p,), written: candidates, genes rising. Those of a chunk and stripe start where all scores of what
        comes before would end, see :func:`segment`, so there is always room.
    """
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    first, n = first_rows[chunk], first_rows[chunk + 1] - first_rows[chunk]
    n_padded = features.shape[2]
    height = tile_height(n_padded)
    tile = np.empty((height, n_padded), weight.dtype)
    best = np.full(n_padded, -np.inf, weight.dtype)
    low = np.full(n_padded, -np.inf, weight.dtype)
    low[n:] = np.inf
    held = np.zeros(n_padded, np.int64)
    position = find_used(first, n, stripes[stripe], used_start, used_gene)
    begin = segment(first, n, stripes[-1], stripes[stripe])
    at, check = begin, height
    own = chunk if len(variance) > 1 else 0
    for start in range(stripes[stripe], stripes[stripe + 1], height):
        if crowded[0]:
            return
        size = min(height, stripes[stripe + 1] - start)
        fill_tile(
            tile, start, size, first, n, features[chunk], weight, gain, bias, mean[own], variance[own], measure, eps,
            prior, used_start, used_gene, used_ratio, position, best,
        )  # fmt: skip
        for r in range(n_padded):
            least = best[r] - margin
            low[r] = least if least > low[r] else low[r]
        for j in range(size):
            at = keep(tile[j], low, first, start + j, held, cells, genes, scores, at)
        scanned = start + size - stripes[stripe]
        if scanned >= check:
            check *= 2
            at = drop(first, n, begin, at, best, margin, entmax, low, held, cells, genes, scores)
            if scanned >= _JUDGED and at - begin > _CROWD * n * scanned:
                crowded[0] = True
                return
    counts[chunk, stripe] = at - begin
    for r in range(n):
        top[first + r, stripe] = best[r]
        per_cell[first + r, stripe] = held[r]


@inlined
def find_used(first: int, n: int, gene: int, used_start: Array, used_gene: Array) -> Array:
    """(n_earlier, n): where the genes from `gene` on begin among those that earlier masks used, for n cells."""
    position = np.empty((len(used_start), n), np.int64)
    for t in range(len(used_start)):
        for r in range(n):
            begin, end = used_start[t, first + r], used_start[t, first + r + 1]
            position[t, r] = begin + np.searchsorted(used_gene[begin:end], gene)
    return position


@inlined
def fill_tile(
    tile: Array,
    start: int,
    size: int,
    first: int,
    n: int,
    features: Array,
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
    position: Array,
    best: Array,
) -> None:
    """Scores of some genes (rows) in the cells of a chunk (columns); largest so far and positions move on."""
    n_padded = features.shape[1]
    set_product(weight, start, size, features, 0, n_padded, tile, 0, 0)
    _normalise(tile, start, size, n, gain, bias, mean, variance, measure, eps, prior)
    for t in range(len(used_start)):
        for r in range(n):
            place, end = position[t, r], used_start[t, first + r + 1]
            while place < end and used_gene[place] < start + size:
                tile[used_gene[place] - start, r] *= used_ratio[place]
                place += 1
            position[t, r] = place
    for j in range(size):
        line = tile[j]
        for r in range(n_padded):
            best[r] = line[r] if line[r] > best[r] else best[r]


@inlined
def tile_height(n_padded: int) -> int:
    """Genes of a tile of so many cells."""
    return max(1, TILE // n_padded // ROWS) * ROWS


@inlined
def segment(first: int, n: int, n_genes: int, start: int) -> int:
    """Where the candidates of a chunk of n cells begin, among the genes from `start` on."""
    return first * n_genes + n * start


@inlined
def keep(
    line: Array,
    low: Array,
    first: int,
    gene: int,
    held: Array,
    cells: Array,
    genes: Array,
    scores: Array,
    at: int,
) -> int:
    """Append the cells whose score for one gene is above their bound, and count them; returns the new end.

    Bounds of the padding are infinite.
    """
    for start in range(0, len(low), LANES):
        bits = bits_above(line, low, start)
        while bits != 0:
            r = start + lowest_bit(bits)
            bits &= bits - np.uint64(1)
            cells[at], genes[at], scores[at] = first + r, gene, line[r]
            held[r] += 1
            at += 1
    return at


@inlined
def _normalise(
    tile: Array,
    start: int,
    size: int,
    n: int,
    gain: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    measure: bool,
    eps: float,
    prior: float,
) -> None:
    n_padded = tile.shape[1]
    for j in range(size):
        line, gene = tile[j], start + j
        if measure:
            squares = tile.dtype.type(0)
            for r in range(n_padded):
                squares += line[r] * line[r]
            variance[gene] = squares / n
        factor = tile.dtype.type(prior * gain[gene] / math.sqrt(variance[gene] + eps))
        offset = tile.dtype.type(prior * bias[gene])
        if not measure:
            offset -= mean[gene] * factor
        for r in range(n_padded):
            line[r] = line[r] * factor + offset
