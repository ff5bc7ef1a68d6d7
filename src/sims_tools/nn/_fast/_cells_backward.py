"""The way back of :mod:`._cells_forward`, and what is done for whole networks afterwards."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sims_tools.nn._output import LOG_FLOOR

from ._addresses import OF_NORM, matrix_at, row_at
from ._cells import Batch, Cells, How, Kept, Packed, Sizes, attentive_places, cells_of, norm_places, table_at
from ._cells_forward import BLOCK, Masks, Scores, gated_of, masks_of, scores_of
from ._columns import by_column
from ._csr import STRIPE_BYTES, columns_product, entry_dots, rows_product
from ._gated import gated_backward
from ._jit import ROWS, Array, compiled, inlined
from ._product import add_product
from ._shares_grad import shares_grad
from ._weight_grad import weight_grad


class Grads(NamedTuple):
    """Gradients of one group of cells in one network, `(n_networks * n_groups, ...)`.

    First linear maps (n_tables, p, 2 width); later ones (S + 1, n_layers - 1, 2 width, width), gain and bias of the
    norms (S + 1, n_layers, 2 width); weight of the attentive parts (S, p, n_a), gain and bias of their norms (S, p).
    """

    table: Array
    linear: Array
    gain: Array
    bias: Array
    score_weight: Array
    score_gain: Array
    score_bias: Array


@compiled
def backward_cells(
    task: int,
    sizes: Sizes,
    how: How,
    batch: Batch,
    stripes: Array,
    addresses: Array,
    packed: Packed,
    kept: Kept,
    decisions: Array,
    grad_decisions: Array,
    grad_entropy: Array,
    grads: Grads,
) -> None:
    """Gradients of one network over one group of cells.

    Parameters
    ----------
    task, sizes, how, batch, addresses, packed, kept, decisions
        Those of the forward pass.
    stripes
        First gene of each stripe that the gradient of the scores is worked out for at a time, and the end.
    grad_decisions
        (n_networks, B, n_d) gradient of the sum of the decisions.
    grad_entropy
        (n_networks,) of the sum over steps and cells.
    grads
        Written; those of the gated layers are added to.
    """
    n_groups = len(batch.groups) - 1
    member, group = task // n_groups, task % n_groups
    cells, places = cells_of(group, batch, how.measure), addresses[member]
    masks = masks_of(member, group, cells, sizes, kept)
    n, width = cells.n, sizes.n_d + sizes.n_a
    grad_shares = np.zeros_like(masks.shares)
    _entropy_grad(grad_entropy[member], masks.shares[: masks.starts[sizes.n_steps - 1, n]], grad_shares)
    coming, grad_hidden = np.empty((n, width), grad_shares.dtype), np.empty((n, 2 * width), grad_shares.dtype)
    grad_features = np.zeros((n, sizes.n_a), grad_shares.dtype)
    for t in range(sizes.n_steps, -1, -1):
        for r in range(n):
            for k in range(sizes.n_d):
                spoke = t > 0 and decisions[member, t - 1, cells.first + r, k] > 0
                coming[r, k] = grad_decisions[member, cells.first + r, k] if spoke else 0
            for k in range(sizes.n_a):
                coming[r, sizes.n_d + k] = grad_features[r, k]
        gated = gated_of(member, t, cells, sizes, how, packed, kept)
        gated_backward(
            0, len(cells.first_rows) - 1, cells.first_rows, packed.linear[member, t], packed.gain[member, t],
            packed.bias[member, t], gated.variance, how.measure, how.eps, gated.normed, gated.gates, gated.states,
            coming, grad_hidden, grads.linear[task, t : t + 1], grads.gain[task, t : t + 1],
            grads.bias[task, t : t + 1],
        )  # fmt: skip
        own = t if sizes.n_tables > 1 else 0
        fresh = sizes.n_tables > 1 or t == sizes.n_steps
        if t == 0:
            _table_grad(cells.indptr, cells.indices, cells.values, grad_hidden, fresh, grads.table[task, own])
            continue
        starts, products = masks.starts[t - 1], np.empty_like(masks.shares)
        for e in range(starts[0], starts[n]):
            products[e] = masks.shares[e] * masks.inputs[e]
        _table_grad(starts, masks.genes, products, grad_hidden, fresh, grads.table[task, own])
        _dots(starts, masks.genes, grad_hidden, table_at(t, places, sizes, grad_hidden), products)
        for e in range(starts[0], starts[n]):
            grad_shares[e] += products[e] * masks.inputs[e]
        scores = scores_of(member, t - 1, cells, sizes, how, places, kept)
        _attention_grad(
            t - 1, cells, sizes, how, stripes, places, scores, masks, grad_shares, grads.score_weight[task, t - 1],
            grads.score_gain[task, t - 1], grads.score_bias[task, t - 1], grad_features,
        )  # fmt: skip


@inlined
def _entropy_grad(grad: float, shares: Array, out: Array) -> None:
    if grad != 0:
        for e in range(len(shares)):
            share = shares[e]
            out[e] -= grad * (math.log(share + LOG_FLOOR) + share / (share + LOG_FLOOR))


@inlined
def _dots(indptr: Array, indices: Array, left: Array, right: Array, out: Array) -> None:
    stripe = max(64, STRIPE_BYTES // (right.shape[1] * right.itemsize))
    for block in range(-(-(len(indptr) - 1) // BLOCK)):
        entry_dots(block, BLOCK, stripe, indptr, indices, left, right, out)


@compiled
def _table_grad(indptr: Array, indices: Array, values: Array, grad: Array, fresh: bool, out: Array) -> None:
    """Add what the product of sparse rows with a table passes back to it, or set it where nothing is there yet."""
    starts = np.empty(len(out) + 1, np.int64)
    rows, ordered = by_column(0, len(out), 0, len(indptr) - 1, indptr, indices, values, starts)
    none = np.empty(0, out.dtype)
    columns_product(
        0, len(out), starts, rows, ordered, grad, none, none, none, out, False, fresh, out, none, none
    )  # fmt: skip


@compiled
def _attention_grad(
    step: int,
    cells: Cells,
    sizes: Sizes,
    how: How,
    stripes: Array,
    places: Array,
    scores: Scores,
    masks: Masks,
    grad_shares: Array,
    grad_weight: Array,
    grad_gain: Array,
    grad_bias: Array,
    out: Array,
) -> None:
    """Of one attentive part; the gradient of its features goes to `out` (n, n_a), that of earlier masks is added."""
    at, indptr = attentive_places(step, sizes), masks.starts[step]
    weight = matrix_at(places[at], sizes.p, sizes.n_a, out)
    gain, bias = row_at(places[at + 1], sizes.p, out), row_at(places[at + 2], sizes.p, out)
    mean = matrix_at(places[at + 3], 1, sizes.p, out)
    rate = np.empty_like(scores.variance)
    for i in range(len(rate)):
        for j in range(sizes.p):
            rate[i, j] = gain[j] / np.sqrt(scores.variance[i, j] + rate.dtype.type(how.eps))
    push, pull = np.empty_like(grad_shares), np.empty_like(grad_shares)
    for task in range(-(-cells.n // ROWS)):
        shares_grad(
            task, indptr, masks.genes, masks.shares, grad_shares, how.entmax, cells.chunk_of, masks.levels[step],
            scores.features, weight, bias, mean, rate, how.measure, how.gamma**step, how.gamma, masks.starts[:step],
            masks.genes, masks.ratios, grad_shares, push, pull,
        )  # fmt: skip
    n_stripes, n_chunks, n_a = len(stripes) - 1, len(cells.first_rows) - 1, sizes.n_a
    curvature = np.zeros((n_stripes, n_chunks, n_a, n_a), out.dtype)
    drift = np.zeros((n_stripes, n_chunks, n_a), out.dtype)
    for stripe in range(n_stripes):
        weight_grad(
            stripe, stripes, cells.first_rows, indptr, masks.genes, push, scores.features, scores.covariance, weight,
            gain, mean, scores.variance, how.measure, how.eps, grad_weight, grad_gain, grad_bias, curvature, drift,
        )  # fmt: skip
    for block in range(-(-cells.n // BLOCK)):
        stripe = max(64, STRIPE_BYTES // (n_a * out.itemsize))
        rows_product(block, BLOCK, stripe, indptr, masks.genes, pull, weight, out)
    if how.measure:
        for chunk in range(n_chunks):
            first, last = cells.first_rows[chunk], cells.first_rows[chunk + 1]
            for stripe in range(n_stripes):
                for r in range(first, last):
                    for k in range(n_a):
                        out[r, k] -= drift[stripe, chunk, k]
                back = curvature[stripe, chunk]
                for i in range(n_a):
                    for k in range(n_a):
                        back[i, k] = -back[i, k]
                add_product(scores.features[first:last], 0, last - first, back, 0, n_a, out[first:last], 0, 0)


@compiled
def move_statistics(member: int, sizes: Sizes, how: How, batch: Batch, addresses: Array, kept: Kept) -> None:
    """Take the statistics of all chunks, one after the other, into the running ones of one network."""
    places, n_chunks = addresses[member], len(batch.first_rows) - 1
    shares, unbiased = np.empty(n_chunks), np.empty(n_chunks)
    for chunk in range(n_chunks):
        n = batch.first_rows[chunk + 1] - batch.first_rows[chunk]
        shares[chunk] = how.momentum * (1 - how.momentum) ** (n_chunks - 1 - chunk)
        unbiased[chunk] = shares[chunk] * n / (n - 1)
    left = (1 - how.momentum) ** n_chunks
    like, doubled = kept.means[member], 2 * (sizes.n_d + sizes.n_a)
    n_transformers, n_layers = sizes.n_steps + 1, sizes.n_layers
    for group in range(len(batch.groups) - 1):
        cells = cells_of(group, batch, how.measure)
        first, size = cells.first_chunk, len(cells.first_rows) - 1
        share = left if group == 0 else 1.0
        unit = n_transformers * n_layers * doubled
        shape = n_transformers, size, n_layers, doubled
        means = kept.means[member, first * unit : (first + size) * unit].reshape(shape)
        variances = kept.variances[member, first * unit : (first + size) * unit].reshape(shape)
        for t in range(n_transformers):
            for layer in range(n_layers):
                at = norm_places(sizes) + (t * n_layers + layer) * OF_NORM
                _move(row_at(places[at + 2], doubled, like), share, shares[first : first + size], means[t, :, layer])
                _move(
                    row_at(places[at + 3], doubled, like), share, unbiased[first : first + size], variances[t, :, layer]
                )
        for step in range(sizes.n_steps):
            scores = scores_of(member, step, cells, sizes, how, places, kept)
            at = attentive_places(step, sizes)
            weight = matrix_at(places[at], sizes.p, sizes.n_a, like)
            running = row_at(places[at + 3], sizes.p, like)
            _move_mean(running, share, shares[first : first + size], scores.means, weight)
            _move(row_at(places[at + 4], sizes.p, like), share, unbiased[first : first + size], scores.variance)
    _count(places, sizes, n_chunks)


@inlined
def _move(running: Array, left: float, shares: Array, coming: Array) -> None:
    kind = running.dtype.type
    for j in range(len(running)):
        running[j] *= kind(left)
    for chunk in range(len(shares)):
        for j in range(len(running)):
            running[j] += kind(shares[chunk]) * coming[chunk, j]


@inlined
def _move_mean(running: Array, left: float, shares: Array, means: Array, weight: Array) -> None:
    """The same for scores, whose means are the products of the features' means with the weights."""
    kind = running.dtype.type
    total = np.zeros(means.shape[1], running.dtype)
    for chunk in range(len(shares)):
        for k in range(len(total)):
            total[k] += kind(shares[chunk]) * means[chunk, k]
    for j in range(len(running)):
        mean = kind(0)
        for k in range(len(total)):
            mean += weight[j, k] * total[k]
        running[j] = running[j] * kind(left) + mean


@inlined
def _count(places: Array, sizes: Sizes, n_chunks: int) -> None:
    """Count the chunks in all norms."""
    like, begin = np.empty(0, np.int64), norm_places(sizes)
    for norm in range((sizes.n_steps + 1) * sizes.n_layers):
        row_at(places[begin + norm * OF_NORM + 4], 1, like)[0] += n_chunks
    for step in range(sizes.n_steps):
        row_at(places[attentive_places(step, sizes) + 5], 1, like)[0] += n_chunks


@compiled
def join_steps(task: int, sizes: Sizes, how: How, batch: Batch, kept: Kept, weights: Array, out: Array) -> None:
    """Weighted sum of the masks of all networks and steps, of one group of cells.

    Parameters
    ----------
    task
        Number of the group.
    weights
        (n_networks, n_steps, B).
    out
        (n_stored,), written: the sum where the features are stored, zero where nothing is selected.
    """
    cells = cells_of(task, batch, how.measure)
    sums = np.zeros(sizes.p, out.dtype)
    for r in range(cells.n):
        for member in range(len(weights)):
            masks = masks_of(member, task, cells, sizes, kept)
            for step in range(sizes.n_steps):
                weight = weights[member, step, cells.first + r]
                for e in range(masks.starts[step, r], masks.starts[step, r + 1]):
                    sums[masks.genes[e]] += weight * masks.shares[e]
        for at in range(cells.indptr[r], cells.indptr[r + 1]):
            out[cells.offset + at] = sums[cells.indices[at]]
            sums[cells.indices[at]] = 0
