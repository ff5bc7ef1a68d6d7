"""Networks that select among the stored features only, forwards over one group of cells, in one call each."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sims_tools.nn._output import LOG_FLOOR

from ._addresses import matrix_at, row_at
from ._among_stored import score_variance, select_stored
from ._cells import Batch, Cells, How, Kept, Packed, Sizes, attentive_places, cells_of, table_at
from ._csr import STRIPE_BYTES, entry_dots, rows_product
from ._gated import gated_forward
from ._jit import ROWS, Array, compiled, inlined
from ._product import set_product
from ._select import pack

BLOCK = 256
"""Cells that read a stripe of a table while it is in the cache."""


class Masks(NamedTuple):
    """Masks of one group of cells.

    `starts` (n_steps, n + 1) says where each cell begins in the others, of all steps one after the other: genes,
    shares, what these leave of the prior, and the features they belong to; `levels` (n_steps, n) are those of
    :func:`select_stored`.
    """

    starts: Array
    levels: Array
    genes: Array
    shares: Array
    ratios: Array
    inputs: Array


class Gated(NamedTuple):
    """What the gated layers of one transformer keep of one group of cells, see :func:`gated_forward`."""

    normed: Array
    gates: Array
    states: Array
    mean: Array
    variance: Array


class Scores(NamedTuple):
    """What one attentive part keeps of one group: centred features, their means and covariance, variance of scores."""

    features: Array
    means: Array
    covariance: Array
    variance: Array


@inlined
def masks_of(member: int, group: int, cells: Cells, sizes: Sizes, kept: Kept) -> Masks:
    """Those of one network and group."""
    n, n_steps, first = cells.n, sizes.n_steps, cells.first
    begin = cells.offset * n_steps
    end = begin + n_steps * len(cells.values)
    starts = kept.starts[member, n_steps * (first + group) : n_steps * (first + n + group + 1)]
    levels = kept.levels[member, n_steps * first : n_steps * (first + n)]
    return Masks(
        starts.reshape(n_steps, n + 1), levels.reshape(n_steps, n), kept.genes[member, begin:end],
        kept.shares[member, begin:end], kept.ratios[member, begin:end], kept.inputs[member, begin:end],
    )  # fmt: skip


@inlined
def gated_of(member: int, t: int, cells: Cells, sizes: Sizes, how: How, packed: Packed, kept: Kept) -> Gated:
    """That of one network, transformer and group."""
    n, width, n_layers = cells.n, sizes.n_d + sizes.n_a, sizes.n_layers
    n_kept, layers = (sizes.n_steps + 1, n_layers) if how.keep else (1, 1)
    own = t if how.keep else 0
    low, high = cells.first * n_kept * layers * width, (cells.first + n) * n_kept * layers * width
    normed = kept.normed[member, 2 * low : 2 * high].reshape(n_kept, layers, n, 2 * width)[own]
    gates = kept.gates[member, low:high].reshape(n_kept, layers, n, width)[own]
    states = kept.states[member, low:high].reshape(n_kept, layers, n, width)[own]
    mean = packed.mean[member, t].reshape(1, n_layers, 2 * width)
    variance = packed.variance[member, t].reshape(1, n_layers, 2 * width)
    if how.measure:
        n_chunks, unit = len(cells.first_rows) - 1, (sizes.n_steps + 1) * n_layers * 2 * width
        begin, end = cells.first_chunk * unit, (cells.first_chunk + n_chunks) * unit
        shape = sizes.n_steps + 1, n_chunks, n_layers, 2 * width
        mean, variance = (
            kept.means[member, begin:end].reshape(shape)[t],
            kept.variances[member, begin:end].reshape(shape)[t],
        )
    return Gated(normed, gates, states, mean, variance)


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
def forward_cells(
    task: int,
    sizes: Sizes,
    how: How,
    batch: Batch,
    addresses: Array,
    packed: Packed,
    limits: Array,
    kept: Kept,
    decisions: Array,
    entropy: Array,
) -> None:
    """One network over one group of cells.

    Parameters
    ----------
    task
        network * n_groups + group.
    sizes, how, batch, packed, kept
        See there; `kept` is written.
    addresses
        (n_networks, n_places) of :class:`Weights`.
    limits
        (n_networks, n_steps) most genes of a mask.
    decisions
        (n_networks, n_steps, B, n_d), written: what each step adds to the embedding.
    entropy
        (n_networks, n_groups), written: entropy of all masks, summed over steps and cells.
    """
    n_groups = len(batch.groups) - 1
    member, group = task // n_groups, task % n_groups
    cells, places = cells_of(group, batch, how.measure), addresses[member]
    masks = masks_of(member, group, cells, sizes, kept)
    entropy[member, group] = 0
    hidden = np.empty((cells.n, 2 * (sizes.n_d + sizes.n_a)), cells.values.dtype)
    _product_of_rows(cells.indptr, cells.indices, cells.values, table_at(0, places, sizes, hidden), hidden)
    for t in range(sizes.n_steps + 1):
        if t > 0:
            products = _masked(t - 1, cells, masks)
            table = table_at(t, places, sizes, hidden)
            _product_of_rows(masks.starts[t - 1], masks.genes, products, table, hidden)
            if how.entropy:
                entropy[member, group] += _entropy(masks.shares[masks.starts[t - 1, 0] : masks.starts[t - 1, cells.n]])
        gated = gated_of(member, t, cells, sizes, how, packed, kept)
        for chunk in range(len(cells.first_rows) - 1):
            gated_forward(
                chunk, 1, cells.first_rows, hidden, packed.transposed[member, t], packed.gain[member, t],
                packed.bias[member, t], gated.mean, gated.variance, how.measure, how.eps, gated.normed, gated.gates,
                gated.states,
            )  # fmt: skip
        state = gated.states[len(gated.states) - 1]
        if t > 0:
            for r in range(cells.n):
                for k in range(sizes.n_d):
                    decisions[member, t - 1, cells.first + r, k] = max(state[r, k], state.dtype.type(0))
        if t < sizes.n_steps:
            scores = scores_of(member, t, cells, sizes, how, places, kept)
            _attend(t, cells, sizes, how, places, limits[member, t], state, scores, masks)


@inlined
def _product_of_rows(indptr: Array, indices: Array, values: Array, table: Array, out: Array) -> None:
    stripe = max(64, STRIPE_BYTES // (table.shape[1] * table.itemsize))
    for block in range(-(-(len(indptr) - 1) // BLOCK)):
        rows_product(block, BLOCK, stripe, indptr, indices, values, table, out)


@compiled
def _attend(
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
        stripes = np.empty(2, np.int64)
        stripes[0], stripes[1] = 0, sizes.p
        for chunk in range(len(cells.first_rows) - 1):
            own = features[cells.first_rows[chunk] : cells.first_rows[chunk + 1]]
            set_product(own.T, 0, sizes.n_a, own, 0, sizes.n_a, scores.covariance[chunk], 0, 0)
            score_variance(chunk, stripes, cells.first_rows, weight, scores.covariance, scores.variance)
    dots = np.empty(len(cells.values), features.dtype)
    stripe = max(64, STRIPE_BYTES // (sizes.n_a * features.itemsize))
    for block in range(-(-cells.n // BLOCK)):
        entry_dots(block, BLOCK, stripe, cells.indptr, cells.indices, features, weight, dots)
    scale, shift = _score_scale(step, sizes, how, places, scores.variance)
    genes, values = np.empty(len(dots), np.int32), np.empty_like(dots)
    selected, levels = np.empty(cells.n, np.int64), masks.levels[step]
    for task in range(-(-cells.n // ROWS)):
        select_stored(
            task, cells.chunk_of, cells.indptr, cells.indices, cells.values, dots, scale, shift, how.entmax, limit,
            masks.starts[:step], masks.genes, masks.ratios, genes, values, selected, levels,
        )  # fmt: skip
    to = masks.starts[step]
    to[0] = 0 if step == 0 else masks.starts[step - 1, cells.n]
    for r in range(cells.n):
        to[r + 1] = to[r] + (selected[r] if np.isfinite(levels[r]) else 1)
    for task in range(-(-cells.n // ROWS)):
        pack(task, cells.indptr, genes, values, selected, to, masks.genes, masks.shares)
    for r in range(cells.n):
        if selected[r] == 0 and to[r + 1] > to[r]:  # not a number: so is the share of a gene that the cell has
            masks.genes[to[r]] = cells.indices[cells.indptr[r]]
    share_left = features.dtype.type(-1.0 / how.gamma)
    for e in range(to[0], to[cells.n]):
        masks.ratios[e] = 1 + masks.shares[e] * share_left


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


@inlined
def _masked(step: int, cells: Cells, masks: Masks) -> Array:
    """Selected features times their shares, where the masks have them; the features are kept."""
    products, starts = np.empty_like(masks.shares), masks.starts[step]
    for r in range(cells.n):
        at = cells.indptr[r]
        for e in range(starts[r], starts[r + 1]):
            while at < cells.indptr[r + 1] and cells.indices[at] < masks.genes[e]:
                at += 1
            there = at < cells.indptr[r + 1] and cells.indices[at] == masks.genes[e]
            masks.inputs[e] = cells.values[at] if there else 0  # none only where the share is not a number
            products[e] = masks.inputs[e] * masks.shares[e]
    return products


@inlined
def _entropy(shares: Array) -> float:
    total = 0.0
    for share in shares:
        total -= share * math.log(share + LOG_FLOOR)
    return total
