"""The way back of :mod:`._cells_forward`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sims_tools.nn._output import LOG_FLOOR

from ._addresses import matrix_at, row_at
from ._cells import Batch, Cells, How, Inputs, Kept, Packed, Sizes, attentive_places, cells_of, table_at
from ._cells_attend import BLOCK, Masks, Scores, masks_of, scores_of
from ._cells_forward import gated_of
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
    norms (S + 1, n_layers, 2 width); weight of the attentive parts (S, p, n_a), gain and bias of their norms (S, p);
    scale and shift of the features (p), or nothing.
    """

    table: Array
    linear: Array
    gain: Array
    bias: Array
    score_weight: Array
    score_gain: Array
    score_bias: Array
    scale: Array
    shift: Array


@compiled
def backward_cells(
    task: int,
    sizes: Sizes,
    how: How,
    batch: Batch,
    inputs: Inputs,
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
    task, sizes, how, batch, inputs, addresses, packed, kept, decisions
        Those of the forward pass.
    stripes
        First gene of each stripe that the gradient of the scores is worked out for at a time, and the end.
    grad_decisions
        (n_networks, n_steps, B, n_d) gradient of the decisions.
    grad_entropy
        (n_networks,) of the sum over steps and cells.
    grads
        Written; those of the gated layers and of the features are added to.
    """
    n_groups = len(batch.groups) - 1
    member, group = task // n_groups, task % n_groups
    cells, places = cells_of(group, batch, how.measure), addresses[member]
    masks = masks_of(member, group, cells, sizes, how, kept)
    n, width = cells.n, sizes.n_d + sizes.n_a
    grad_shares = np.zeros_like(masks.shares)
    _entropy_grad(grad_entropy[member], masks.shares[: masks.starts[sizes.n_steps - 1, n]], grad_shares)
    coming, grad_hidden = np.empty((n, width), grad_shares.dtype), np.empty((n, 2 * width), grad_shares.dtype)
    grad_features = np.zeros((n, sizes.n_a), grad_shares.dtype)
    for t in range(sizes.n_steps, -1, -1):
        for r in range(n):
            for k in range(sizes.n_d):
                spoke = t > 0 and decisions[member, t - 1, cells.first + r, k] > 0
                coming[r, k] = grad_decisions[member, t - 1, cells.first + r, k] if spoke else 0
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
            _first_grad(member, task, cells, how, inputs, places, sizes, grad_hidden, fresh, grads)
            continue
        starts, products = masks.starts[t - 1], np.empty_like(masks.shares)
        for e in range(starts[0], starts[n]):
            products[e] = masks.shares[e] * masks.inputs[e]
        _table_grad(starts, masks.genes, products, grad_hidden, fresh, grads.table[task, own])
        _dots(starts, masks.genes, grad_hidden, table_at(t, places, sizes, grad_hidden), products)
        for e in range(starts[0], starts[n]):
            grad_shares[e] += products[e] * masks.inputs[e]
            if how.center:
                of_input = products[e] * masks.shares[e]
                grads.scale[task, masks.genes[e]] += of_input * masks.raw[e]
                grads.shift[task, masks.genes[e]] += of_input
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


@inlined
def _first_grad(
    member: int,
    task: int,
    cells: Cells,
    how: How,
    inputs: Inputs,
    places: Array,
    sizes: Sizes,
    grad: Array,
    fresh: bool,
    grads: Grads,
) -> None:
    """Of the first product, given the gradient of its result."""
    out = grads.table[task, 0]
    if not how.center:
        _table_grad(cells.indptr, cells.indices, cells.values, grad, fresh, out)
        return
    starts = np.empty(len(out) + 1, np.int64)
    rows, ordered = by_column(0, len(out), 0, cells.n, cells.indptr, cells.indices, cells.values, starts)
    total = np.zeros(grad.shape[1], grad.dtype)
    for r in range(cells.n):
        for k in range(len(total)):
            total[k] += grad[r, k]
    of_scale, of_shift = np.empty(len(out), grad.dtype), np.empty(len(out), grad.dtype)
    table = table_at(0, places, sizes, grad)
    columns_product(
        0, len(out), starts, rows, ordered, grad, inputs.scale[member], inputs.shift[member], total, table, True, fresh,
        out, of_scale, of_shift,
    )  # fmt: skip
    for j in range(len(out)):
        grads.scale[task, j] += of_scale[j]
        grads.shift[task, j] += of_shift[j]


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
