"""Attentive parts of networks that work side by side: the mask of a step over one group of cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._addresses import matrix_at, row_at
from ._among_stored import score_variance, select_stored
from ._cells import Cells, How, Kept, Sizes, attentive_places
from ._csr import STRIPE_BYTES, entry_dots
from ._held import PANEL, PANELS, hold_scores, select_held, turn
from ._jit import ROWS, Array, compiled, inlined
from ._product import set_product
from ._select import pack

BLOCK = 256
"""Cells that read a stripe of a table while it is in the cache."""


class Masks(NamedTuple):
    """Masks of one group of cells.

    `starts` (n_steps, n + 1) says where each cell begins in the others, of all steps one after the other: genes,
    shares, what these leave of the prior, the features they belong to, and these as stored; `levels` (n_steps, n) are
    those of :func:`select_stored`.
    """

    starts: Array
    levels: Array
    genes: Array
    shares: Array
    ratios: Array
    inputs: Array
    raw: Array


class Scores(NamedTuple):
    """What one attentive part keeps of one group: centred features, their means and covariance, variance of scores."""

    features: Array
    means: Array
    covariance: Array
    variance: Array


@inlined
def masks_of(member: int, group: int, cells: Cells, sizes: Sizes, how: How, kept: Kept) -> Masks:
    """Those of one network and group."""
    n, n_steps, first = cells.n, sizes.n_steps, cells.first
    begin, size = (cells.offset, len(cells.values)) if how.nonzero else (first * sizes.p, n * sizes.p)
    begin, end = begin * n_steps, (begin + size) * n_steps
    starts = kept.starts[member, n_steps * (first + group) : n_steps * (first + n + group + 1)]
    levels = kept.levels[member, n_steps * first : n_steps * (first + n)]
    return Masks(
        starts.reshape(n_steps, n + 1), levels.reshape(n_steps, n), kept.genes[member, begin:end],
        kept.shares[member, begin:end], kept.ratios[member, begin:end], kept.inputs[member, begin:end],
        kept.raw[member, begin:end] if how.center else kept.inputs[member, begin:end],
    )  # fmt: skip


@inlined
def scores_of(member: int, step: int, cells: Cells, sizes: Sizes, how: How, places: Array, kept: Kept) -> Scores:
    """That of one network, step and group."""
    n, n_a, n_steps = cells.n, sizes.n_a, sizes.n_steps
    features = kept.features[member, cells.first * n_steps * n_a : (cells.first + n) * n_steps * n_a]
    n_chunks = len(cells.first_rows) - 1 if how.measure else 0
    low, high = cells.first_chunk * n_steps, (cells.first_chunk + n_chunks) * n_steps
    means = kept.feature_means[member, low * n_a : high * n_a].reshape(n_steps, n_chunks, n_a)[step]
    covariance = kept.covariance[member, low * n_a * n_a : high * n_a * n_a].reshape(n_steps, n_chunks, n_a, n_a)[step]
    if how.measure:
        variance = kept.score_variance[member, low * sizes.p : high * sizes.p].reshape(n_steps, n_chunks, sizes.p)[step]
    else:
        variance = matrix_at(places[attentive_places(step, sizes) + 4], 1, sizes.p, features)
    return Scores(features.reshape(n_steps, n, n_a)[step], means, covariance, variance)


@compiled
def attend(
    step: int,
    cells: Cells,
    sizes: Sizes,
    how: How,
    places: Array,
    limit: int,
    state: Array,
    scores: Scores,
    masks: Masks,
) -> None:
    """Append the mask of a step."""
    features = scores.features
    for r in range(cells.n):
        for k in range(sizes.n_a):
            features[r, k] = state[r, sizes.n_d + k]
    at = attentive_places(step, sizes)
    weight = matrix_at(places[at], sizes.p, sizes.n_a, features)
    if how.measure:
        _centre(cells.first_rows, features, scores.means)
        for chunk in range(len(cells.first_rows) - 1):
            own = features[cells.first_rows[chunk] : cells.first_rows[chunk + 1]]
            set_product(own.T, 0, sizes.n_a, own, 0, sizes.n_a, scores.covariance[chunk], 0, 0)
    selected, levels = np.empty(cells.n, np.int64), masks.levels[step]
    if how.nonzero:
        starts, genes, values = _among_stored(
            step, cells, sizes, how, places, limit, weight, scores, masks, selected, levels
        )
    else:
        starts, genes, values = _among_all(
            step, cells, sizes, how, places, limit, weight, scores, masks, selected, levels
        )
    to = masks.starts[step]
    to[0] = 0 if step == 0 else masks.starts[step - 1, cells.n]
    for r in range(cells.n):
        to[r + 1] = to[r] + (selected[r] if np.isfinite(levels[r]) else 1)
    for task in range(-(-cells.n // ROWS)):
        pack(task, starts, genes, values, selected, to, masks.genes, masks.shares)
    for r in range(cells.n):  # where scores are not numbers, neither is the share of one gene: one that the cell has
        if how.nonzero and selected[r] == 0 and to[r + 1] > to[r]:
            masks.genes[to[r]] = cells.indices[cells.indptr[r]]
    share_left = features.dtype.type(-1.0 / how.gamma)
    for e in range(to[0], to[cells.n]):
        masks.ratios[e] = 1 + masks.shares[e] * share_left


@compiled
def _among_stored(
    step: int,
    cells: Cells,
    sizes: Sizes,
    how: How,
    places: Array,
    limit: int,
    weight: Array,
    scores: Scores,
    masks: Masks,
    selected: Array,
    levels: Array,
) -> tuple[Array, Array, Array]:
    """Where candidates begin, and selected genes and shares from there on: of what is stored."""
    features = scores.features
    if how.measure:
        stripes = np.empty(2, np.int64)
        stripes[0], stripes[1] = 0, sizes.p
        for chunk in range(len(cells.first_rows) - 1):
            score_variance(chunk, stripes, cells.first_rows, weight, scores.covariance, scores.variance)
    dots = np.empty(len(cells.values), features.dtype)
    stripe = max(64, STRIPE_BYTES // (sizes.n_a * features.itemsize))
    for block in range(-(-cells.n // BLOCK)):
        entry_dots(block, BLOCK, stripe, cells.indptr, cells.indices, features, weight, dots)
    scale, shift = _score_scale(step, sizes, how, places, scores.variance)
    genes, values = np.empty(len(dots), np.int32), np.empty_like(dots)
    for task in range(-(-cells.n // ROWS)):
        select_stored(
            task, cells.chunk_of, cells.indptr, cells.indices, cells.values, dots, scale, shift, how.entmax, limit,
            masks.starts[:step], masks.genes, masks.ratios, genes, values, selected, levels,
        )  # fmt: skip
    return cells.indptr, genes, values


@compiled
def _among_all(
    step: int,
    cells: Cells,
    sizes: Sizes,
    how: How,
    places: Array,
    limit: int,
    weight: Array,
    scores: Scores,
    masks: Masks,
    selected: Array,
    levels: Array,
) -> tuple[Array, Array, Array]:
    """The same of all genes, whose scores are held: there are few."""
    norm = attentive_places(step, sizes) + 1
    gain, bias = row_at(places[norm], sizes.p, weight), row_at(places[norm + 1], sizes.p, weight)
    mean = matrix_at(places[norm + 2], 1, sizes.p, weight)
    n_panels = -(-sizes.p // PANEL)
    turned, size = np.empty((n_panels, sizes.n_a, PANEL), weight.dtype), n_panels * PANEL
    for task in range(-(-n_panels // PANELS)):
        turn(task, weight, turned)
    stripes = np.empty(2, np.int64)
    stripes[0], stripes[1] = 0, n_panels
    held, values = np.empty((cells.n, size), weight.dtype), np.empty((cells.n, size), weight.dtype)
    genes, starts = np.empty((cells.n, size), np.int32), np.empty(cells.n + 1, np.int64)
    for chunk in range(len(cells.first_rows) - 1):
        hold_scores(
            chunk, scores.features, cells.first_rows, stripes, turned, gain, bias, mean, scores.variance, how.measure,
            how.eps, how.gamma**step, held,
        )  # fmt: skip
    for task in range(-(-cells.n // ROWS)):
        select_held(
            task, held, how.entmax, limit, masks.starts[:step], masks.genes, masks.ratios, genes, values, selected,
            levels,
        )  # fmt: skip
    for r in range(cells.n + 1):
        starts[r] = r * size
    return starts, genes.reshape(-1), values.reshape(-1)


@inlined
def _score_scale(step: int, sizes: Sizes, how: How, places: Array, variance: Array) -> tuple[Array, Array]:
    """(n_statistics, p) twice: from products of features and weights to scores that no earlier mask has lowered."""
    norm = attentive_places(step, sizes) + 1
    gain, bias = row_at(places[norm], sizes.p, variance), row_at(places[norm + 1], sizes.p, variance)
    mean = row_at(places[norm + 2], sizes.p, variance)
    prior = variance.dtype.type(how.gamma**step)
    scale, shift = np.empty_like(variance), np.empty_like(variance)
    for i in range(len(variance)):
        for j in range(sizes.p):
            rate = gain[j] / np.sqrt(variance[i, j] + variance.dtype.type(how.eps))
            scale[i, j] = rate * prior
            shift[i, j] = bias[j] * prior
            if not how.measure:
                shift[i, j] -= mean[j] * scale[i, j]
    return scale, shift


@inlined
def _centre(first_rows: Array, features: Array, means: Array) -> None:
    for chunk in range(len(first_rows) - 1):
        first, last, mean = first_rows[chunk], first_rows[chunk + 1], means[chunk]
        for k in range(len(mean)):
            mean[k] = 0
        for r in range(first, last):
            for k in range(len(mean)):
                mean[k] += features[r, k]
        for k in range(len(mean)):
            mean[k] /= last - first
        for r in range(first, last):
            for k in range(len(mean)):
                features[r, k] -= mean[k]
