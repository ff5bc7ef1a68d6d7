"""Gradient of the selected shares with respect to the normalised scores and the shares of earlier masks."""

from __future__ import annotations

import numpy as np

from ._jit import ROWS, Array, compiled, inlined

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
    n_used, low, high = len(used_start), task * ROWS, min((task + 1) * ROWS, len(indptr) - 1)
    longest = 0
    for r in range(low, high):
        longest = max(longest, indptr[r + 1] - indptr[r])
    above, left, normed, back = np.empty((4, longest), shares.dtype)
    places, ratios = np.empty((n_used, longest), np.int64), np.empty((n_used, longest), shares.dtype)
    place_of = np.full(len(bias), -1, np.int64)
    for r in range(low, high):
        begin, end, chunk = indptr[r], indptr[r + 1], chunk_of[r]
        n, genes, own = end - begin, indices[begin:end], push[begin:end]
        _selector_grad(shares[begin:end], grad[begin:end], entmax, above, own)
        left[:n] = prior
        n_seen = 0
        for t in range(n_used):
            start, stop = used_start[t, r], used_start[t, r + 1]
            n_seen += _match(genes, start, used_gene[start:stop], used_ratio, place_of, places[t], ratios[t], left)
        if n_seen > 0:
            _divide_prior(above[:n], left, levels[r], normed)
            for e in range(n):
                if left[e] <= _TINY * prior:
                    score = weight.dtype.type(0)
                    for k in range(weight.shape[1]):
                        score += features[r, k] * weight[genes[e], k]
                    if not centred:
                        score -= mean[chunk, genes[e]]
                    normed[e] = score * scale[chunk, genes[e]] + bias[genes[e]]
            for t in range(n_used):
                _add_used_grad(t, places, ratios, own, normed, shares.dtype.type(prior / gamma), back, used_grad)
        line, rates = pull[begin:end], scale[chunk]
        for e in range(n):
            own[e] *= left[e]
            line[e] = own[e] * rates[genes[e]]


@inlined
def _selector_grad(shares: Array, grad: Array, entmax: bool, above: Array, out: Array) -> None:
    """Gradient of the scores of one cell on its support (Martins and Astudillo 2016; Peters et al. 2019).

    How far the scores are above the threshold is written to `above`.
    """
    n, kind = len(shares), shares.dtype.type
    total, weights = kind(0), kind(0)
    if entmax:
        for e in range(n):
            root = np.sqrt(shares[e])
            out[e] = root
            above[e] = root + root
            total += root * grad[e]
            weights += root
    else:
        for e in range(n):
            out[e] = kind(1)
            above[e] = shares[e]
            total += grad[e]
        weights = kind(n)
    mean = total / weights
    for e in range(n):
        out[e] *= grad[e] - mean


@inlined
def _match(
    genes: Array,
    start: int,
    used: Array,
    used_ratio: Array,
    place_of: Array,
    places: Array,
    ratios: Array,
    left: Array,
) -> int:
    """Where an earlier mask of the cell, from `start` on, holds the same genes, -1 where not; returns how many.

    Its ratios, 1 where it has none, go to `ratios` and are taken into `left`. `place_of` (p,) is -1 before and after.
    """
    n_found = 0
    for j in range(len(used)):
        place_of[used[j]] = start + j
    for i in range(len(genes)):
        at = place_of[genes[i]]
        places[i] = at
        n_found += at >= 0
        ratios[i] = used_ratio[at] if at >= 0 else used_ratio.dtype.type(1)
    for j in range(len(used)):
        place_of[used[j]] = -1
    for i in range(len(genes)):
        left[i] *= ratios[i]
    return n_found


@inlined
def _divide_prior(above: Array, left: Array, level: float, normed: Array) -> None:
    """Scores before the prior."""
    for e in range(len(above)):
        normed[e] = (level + above[e]) / left[e]


@inlined
def _add_used_grad(
    t: int, places: Array, ratios: Array, push: Array, normed: Array, rate: float, back: Array, used_grad: Array
) -> None:
    """Gradient of the shares of one earlier mask; `rate` is the prior over gamma, `back` working space."""
    for e in range(len(push)):
        back[e] = push[e] * normed[e] * rate
    for u in range(len(ratios)):
        if u != t:
            for e in range(len(push)):
                back[e] *= ratios[u, e]
    for e in range(len(push)):
        if places[t, e] >= 0:
            used_grad[places[t, e]] -= back[e]
