"""Gradient of the selected shares with respect to all that made them, at the cost of the support."""

from __future__ import annotations

import math

import numpy as np

from ._csr import by_column
from ._jit import ROWS, Array, compiled
from ._product import add_gathered, add_product, set_product

_GROUP = 64
"""Genes whose rows are multiplied together."""

_CROWD = 0.08
"""Share of the genes selected above which products over all of them are quicker than over those."""

_TINY = 0.01
"""Where less than this is left of the prior, the score before the prior is computed anew instead of divided out."""


@compiled
def shares_grad(
    task: int,
    indptr: Array,
    indices: Array,
    shares: Array,
    grad: Array,
    entmax: bool,
    chunk_of: Array,
    levels: Array,
    features: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    scale: Array,
    centred: bool,
    prior: float,
    gamma: float,
    used_start: Array,
    used_gene: Array,
    used_ratio: Array,
    used_grad: Array,
    push: Array,
    pull: Array,
) -> None:
    """From shares back to normalised scores, in a block of cells.

    Parameters
    ----------
    task
        Number of the block of `ROWS` cells.
    indptr, indices, shares
        The mask.
    grad
        (n_stored,) gradient of the shares.
    entmax
        entmax15 in place of sparsemax.
    chunk_of
        (B,) row of `mean` and `scale` that belongs to a cell.
    levels
        (B,) what :func:`select` wrote.
    features
        (B, n_a), with the chunk's mean taken off where `centred`.
    weight, bias, mean, prior, used_start, used_gene, used_ratio
        As in :func:`screen_scores`; `mean` is not read where `centred`.
    scale
        (n_chunks, p), or (1, p) for all chunks alike: gain / sigma.
    gamma
        Relaxation of the prior.
    used_grad
        Gradient of the shares of earlier masks; added to.
    push
        (n_stored,), written: gradient of the normalised scores.
    pull
        (n_stored,), written: the same times gain / sigma.
    """
    n_used = len(used_start)
    position = np.empty(n_used, np.int64)
    found = np.empty(n_used, np.bool_)
    for r in range(task * ROWS, min((task + 1) * ROWS, len(indptr) - 1)):
        begin, end, chunk = indptr[r], indptr[r + 1], chunk_of[r]
        _selector_grad(shares[begin:end], grad[begin:end], entmax, push[begin:end])
        for t in range(n_used):
            position[t] = used_start[t, r]
        for e in range(begin, end):
            gene, left, seen = indices[e], prior, False
            for t in range(n_used):
                at, stop = position[t], used_start[t, r + 1]
                while at < stop and used_gene[at] < gene:
                    at += 1
                position[t] = at
                found[t] = at < stop and used_gene[at] == gene
                if found[t]:
                    left *= used_ratio[at]
                    seen = True
            if seen:
                if left > _TINY * prior:
                    above = shares[e] if not entmax else 2 * math.sqrt(shares[e])
                    normed = (levels[r] + above) / left
                else:
                    score = weight.dtype.type(0)
                    for k in range(weight.shape[1]):
                        score += features[r, k] * weight[gene, k]
                    if not centred:
                        score -= mean[chunk, gene]
                    normed = score * scale[chunk, gene] + bias[gene]
                for t in range(n_used):
                    if found[t]:
                        others = prior / gamma
                        for u in range(n_used):
                            if u != t and found[u]:
                                others *= used_ratio[position[u]]
                        used_grad[position[t]] -= push[e] * normed * others
            push[e] *= left
            pull[e] = push[e] * scale[chunk, gene]


@compiled
def _selector_grad(shares: Array, grad: Array, entmax: bool, out: Array) -> None:
    """Gradient of the scores of one cell on its support (Martins and Astudillo 2016; Peters et al. 2019)."""
    total, weights = 0.0, 0.0
    for e in range(len(shares)):
        root = math.sqrt(shares[e]) if entmax else 1.0
        total += root * grad[e]
        weights += root
    mean = total / weights
    for e in range(len(shares)):
        root = math.sqrt(shares[e]) if entmax else 1.0
        out[e] = root * (grad[e] - mean)


@compiled
def weight_grad(
    stripe: int,
    stripes: Array,
    first_rows: Array,
    indptr: Array,
    indices: Array,
    push: Array,
    features: Array,
    covariance: Array,
    weight: Array,
    gain: Array,
    mean: Array,
    variance: Array,
    centred: bool,
    eps: float,
    grad_weight: Array,
    grad_gain: Array,
    grad_bias: Array,
    curvature: Array,
    drift: Array,
) -> None:
    """Gradients of one stripe of genes, over all chunks of cells.

    With x the features, G the gradient of the normalised scores and ``z = gain * rstd * x w + bias`` normalised over a
    chunk, everything a gene needs is ``V_j = sum_r G_rj x_r``, ``sum_r G_rj`` and the covariance of the features.

    Parameters
    ----------
    stripe
        Number of the stripe.
    stripes, first_rows, weight, gain, mean, variance, eps
        As in :func:`screen_scores`.
    indptr, indices, push
        Pattern of the mask, gradient of the normalised scores.
    features
        (B, n_a), with the chunk's mean taken off where `centred`.
    covariance
        (n_chunks, n_a, n_a) sums of products of the features of each chunk; not read unless `centred`.
    centred
        The norm took its statistics from the chunk.
    grad_weight, grad_gain, grad_bias
        (p, n_a), (p,), (p,); the stripe is written.
    curvature, drift
        (n_stripes, n_chunks, n_a, n_a) and (n_stripes, n_chunks, n_a), the stripe's are added to: what the statistics
        take back from the gradient of the features, ``x curvature + drift``.
    """
    low, high = stripes[stripe], stripes[stripe + 1]
    n_a = weight.shape[1]
    grad_weight[low:high] = 0
    grad_gain[low:high] = 0
    grad_bias[low:high] = 0
    sums, totals = np.empty((high - low, n_a), weight.dtype), np.empty(high - low, weight.dtype)
    active = np.empty(high - low, np.int64)
    scaled, turned = np.empty((_GROUP, n_a), weight.dtype), np.empty((_GROUP, n_a), weight.dtype)
    rows = np.empty((_GROUP, n_a), weight.dtype)
    for chunk in range(len(first_rows) - 1):
        first, last = first_rows[chunk], first_rows[chunk + 1]
        own = chunk if len(variance) > 1 else 0
        n_active = _sum_by_gene(low, high, first, last, indptr, indices, push, features, active, sums, totals)
        for group in range(0, n_active, _GROUP):
            size = min(_GROUP, n_active - group)
            for i in range(size):
                gene, line, total = low + active[group + i], sums[group + i], totals[group + i]
                rstd = 1.0 / math.sqrt(variance[own, gene] + eps)
                along = weight.dtype.type(0)
                for k in range(n_a):
                    along += weight[gene, k] * line[k]
                if not centred:
                    along -= mean[own, gene] * total
                along *= rstd
                scale = weight.dtype.type(gain[gene] * rstd)
                grad_bias[gene] += total
                grad_gain[gene] += along
                for k in range(n_a):
                    grad_weight[gene, k] += scale * line[k]
                if centred:
                    n = last - first
                    strength = weight.dtype.type(scale * rstd * along / n)
                    pull = weight.dtype.type(scale * total / n)
                    for k in range(n_a):
                        rows[i, k] = weight[gene, k]
                        scaled[i, k] = strength * weight[gene, k]
                        drift[stripe, chunk, k] += pull * weight[gene, k]
            if centred:
                set_product(scaled, 0, size, covariance[chunk], 0, n_a, turned, 0, 0)
                for i in range(size):
                    gene = low + active[group + i]
                    for k in range(n_a):
                        grad_weight[gene, k] -= turned[i, k]
                add_product(rows[:size].T, 0, n_a, scaled[:size], 0, n_a, curvature[stripe, chunk], 0, 0)


@compiled
def _sum_by_gene(
    low: int,
    high: int,
    first: int,
    last: int,
    indptr: Array,
    indices: Array,
    push: Array,
    features: Array,
    active: Array,
    sums: Array,
    totals: Array,
) -> int:
    """``sum_r G_rj x_r`` and ``sum_r G_rj`` of the genes low to high that any of some cells selects.

    Their numbers, less low, go to `active`, the sums to `sums` and `totals` in the same order; returns how many.
    """
    begins, n_entries = np.empty(last - first, np.int64), 0
    for r in range(first, last):
        chosen = indices[indptr[r] : indptr[r + 1]]
        begins[r - first] = indptr[r] + np.searchsorted(chosen, low)
        n_entries += int(np.searchsorted(chosen, high) - np.searchsorted(chosen, low))
    if n_entries > _CROWD * (last - first) * (high - low):
        _sum_dense(low, high, first, last, begins, indptr, indices, push, features, sums, totals)
        for j in range(high - low):
            active[j] = j
        return high - low
    starts = np.empty(high - low + 1, np.int64)
    cells, values = by_column(low, high, first, last, indptr, indices, push, starts)
    n_active = 0
    for j in range(high - low):
        if starts[j + 1] > starts[j]:
            sums[n_active] = 0
            add_gathered(values, cells, starts[j], starts[j + 1], features, sums, n_active)
            total = push.dtype.type(0)
            for e in range(starts[j], starts[j + 1]):
                total += values[e]
            totals[n_active], active[n_active] = total, j
            n_active += 1
    return n_active


@compiled
def _sum_dense(
    low: int,
    high: int,
    first: int,
    last: int,
    begins: Array,
    indptr: Array,
    indices: Array,
    push: Array,
    features: Array,
    sums: Array,
    totals: Array,
) -> None:
    """The same where so much is selected that it is quicker to go over all: for every gene, in order."""
    spread = np.zeros((last - first, high - low), push.dtype)
    totals[:] = 0
    for r in range(first, last):
        line, at, end = spread[r - first], begins[r - first], indptr[r + 1]
        while at < end and indices[at] < high:
            line[indices[at] - low] = push[at]
            at += 1
        for j in range(len(line)):
            totals[j] += line[j]
    set_product(spread.T, 0, high - low, features[first:last], 0, features.shape[1], sums, 0, 0)
