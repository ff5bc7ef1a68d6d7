"""Gradient of weights and norm of an attentive transformer, from that of the normalised scores."""

from __future__ import annotations

import math

import numpy as np

from ._columns import by_column
from ._gathered import add_gathered
from ._jit import Array, compiled, inlined
from ._product import add_product, set_product

_GROUP = 64
"""Genes whose rows are multiplied together."""

_CROWD = 0.08
"""Share of the genes selected above which products over all of them are quicker than over those."""


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


@inlined
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
        n_entries += indptr[r] + np.searchsorted(chosen, high) - begins[r - first]
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


@inlined
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
