"""Selection among the stored features of each cell: the way of networks that select nothing that is zero."""

from __future__ import annotations

import numpy as np

from ._jit import ROWS, Array, compiled
from ._product import set_product
from ._select import settle

_GROUP = 64
"""Genes whose weights are multiplied together."""


@compiled
def score_variance(
    task: int, stripes: Array, first_rows: Array, weight: Array, covariance: Array, variance: Array
) -> None:
    """Variance of the scores of one stripe of genes over one chunk of cells, from that of the features.

    Parameters
    ----------
    task
        chunk * n_stripes + stripe.
    stripes
        (n_stripes + 1,) first gene of each stripe.
    first_rows
        (n_chunks + 1,) first cell of each chunk.
    weight
        (p, n_a).
    covariance
        (n_chunks, n_a, n_a) sums of products of the features of each chunk, their mean taken off.
    variance
        (n_chunks, p), written.
    """
    n_stripes = len(stripes) - 1
    chunk, stripe = task // n_stripes, task % n_stripes
    n_a, n_cells = weight.shape[1], first_rows[chunk + 1] - first_rows[chunk]
    turned = np.empty((_GROUP, n_a), weight.dtype)
    for start in range(stripes[stripe], stripes[stripe + 1], _GROUP):
        size = min(_GROUP, stripes[stripe + 1] - start)
        set_product(weight, start, size, covariance[chunk], 0, n_a, turned, 0, 0)
        for j in range(size):
            own, other, total = weight[start + j], turned[j], weight.dtype.type(0)
            for k in range(n_a):
                total += own[k] * other[k]
            variance[chunk, start + j] = max(total, weight.dtype.type(0)) / n_cells


@compiled
def select_stored(
    task: int,
    chunk_of: Array,
    indptr: Array,
    indices: Array,
    inputs: Array,
    dots: Array,
    scale: Array,
    shift: Array,
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
    chunk_of
        (B,) row of `scale` and `shift` that belongs to a cell.
    indptr, indices, inputs
        Features of the cells; those that are stored as zeros are not selected.
    dots
        (n_stored,) product of the attention with each feature's weights.
    scale, shift
        (n_chunks, p), or (1, p) for all chunks alike: from products to scores, before earlier masks count.
    entmax, used_start, used_gene, used_ratio
        As in :func:`screen_scores`.
    limit
        As in :func:`settle`.
    genes, values
        (n_stored,), written: selected genes, rising, and their shares, from where the cell's features start.
    selected, levels
        As in :func:`select`; a cell without features selects nothing.
    """
    margin = values.dtype.type(2.0 if entmax else 1.0)
    half = values.dtype.type(1.0) / margin
    for r in range(task * ROWS, min((task + 1) * ROWS, len(selected))):
        begin, end, n = indptr[r], indptr[r + 1], 0
        own_genes, own, rates, offsets = genes[begin:end], values[begin:end], scale[chunk_of[r]], shift[chunk_of[r]]
        for e in range(begin, end):  # written in any case: whether it counts cannot be foreseen
            own_genes[n], own[n] = indices[e], dots[e] * rates[indices[e]] + offsets[indices[e]]
            n += inputs[e] != 0
        for t in range(len(used_start)):
            _reduce_used(own_genes, own, n, used_start[t, r], used_start[t, r + 1], used_gene, used_ratio)
        highest = own.dtype.type(-np.inf)
        for e in range(n):
            highest = own[e] if own[e] > highest else highest
        selected[r], levels[r] = 0, highest if n > 0 else own.dtype.type(0)
        if -np.inf < highest < np.inf:
            for e in range(n):
                own[e] = (own[e] - highest) * half
            selected[r], tau = settle(own_genes[:n], own[:n], entmax, limit, -1.0)
            levels[r] = highest + margin * tau


@compiled
def _reduce_used(
    genes: Array, scores: Array, n: int, start: int, stop: int, used_gene: Array, used_ratio: Array
) -> None:
    """Take in what one earlier mask of the cell leaves of the prior; both have their genes rising."""
    e = 0
    for u in range(start, stop):
        while e < n and genes[e] < used_gene[u]:
            e += 1
        if e < n and genes[e] == used_gene[u]:
            scores[e] *= used_ratio[u]
