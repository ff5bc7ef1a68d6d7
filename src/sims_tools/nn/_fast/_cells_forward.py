"""Networks that select among the stored features only, forwards over one group of cells, in one call each."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sims_tools.nn._output import LOG_FLOOR

from ._cells import Batch, Cells, How, Inputs, Kept, Packed, Sizes, cells_of, table_at
from ._cells_attend import BLOCK, Masks, attend, masks_of, scores_of
from ._csr import STRIPE_BYTES, affine, rows_product, weighted_sum
from ._gated import gated_forward
from ._jit import Array, compiled, inlined


class Gated(NamedTuple):
    """What the gated layers of one transformer keep of one group of cells, see :func:`gated_forward`."""

    normed: Array
    gates: Array
    states: Array
    mean: Array
    variance: Array


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


@compiled
def forward_cells(
    task: int,
    sizes: Sizes,
    how: How,
    batch: Batch,
    inputs: Inputs,
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
    sizes, how, batch, inputs, packed, kept
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
    masks = masks_of(member, group, cells, sizes, how, kept)
    entropy[member, group] = 0
    hidden = np.empty((cells.n, 2 * (sizes.n_d + sizes.n_a)), cells.values.dtype)
    _first_product(member, cells, how, inputs, table_at(0, places, sizes, hidden), hidden)
    for t in range(sizes.n_steps + 1):
        if t > 0:
            products = _masked(member, t - 1, cells, how, inputs, masks)
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
            attend(t, cells, sizes, how, places, limits[member, t], state, scores, masks)


@inlined
def _product_of_rows(indptr: Array, indices: Array, values: Array, table: Array, out: Array) -> None:
    stripe = max(64, STRIPE_BYTES // (table.shape[1] * table.itemsize))
    for block in range(-(-(len(indptr) - 1) // BLOCK)):
        rows_product(block, BLOCK, stripe, indptr, indices, values, table, out)


@inlined
def _first_product(member: int, cells: Cells, how: How, inputs: Inputs, table: Array, hidden: Array) -> None:
    """Of the cells as they are stored, normalised where that is wanted."""
    if not how.center:
        _product_of_rows(cells.indptr, cells.indices, cells.values, table, hidden)
        return
    scale, values = inputs.scale[member], np.empty_like(cells.values)
    for block in range(-(-cells.n // BLOCK)):
        affine(block, BLOCK, cells.indptr, cells.indices, cells.values, scale, np.zeros_like(scale), values)
    _product_of_rows(cells.indptr, cells.indices, values, table, hidden)
    constant = np.empty((1, table.shape[1]), table.dtype)
    weighted_sum(0, len(table), inputs.shift[member], table, constant)
    for r in range(cells.n):
        for k in range(table.shape[1]):
            hidden[r, k] += constant[0, k]


@inlined
def _masked(member: int, step: int, cells: Cells, how: How, inputs: Inputs, masks: Masks) -> Array:
    """Selected features times their shares, where the masks have them; the features are kept."""
    products, starts = np.empty_like(masks.shares), masks.starts[step]
    zero = products.dtype.type(0)
    for r in range(cells.n):
        at, end = cells.indptr[r], cells.indptr[r + 1]
        for e in range(starts[r], starts[r + 1]):
            gene = masks.genes[e]
            while at < end and cells.indices[at] < gene:
                at += 1
            value = cells.values[at] if at < end and cells.indices[at] == gene else zero
            masks.raw[e] = value
            if how.center:
                value = value * inputs.scale[member, gene] + inputs.shift[member, gene]
            masks.inputs[e] = value
            products[e] = value * masks.shares[e]
    return products


@inlined
def _entropy(shares: Array) -> float:
    total = 0.0
    for share in shares:
        total -= share * math.log(share + LOG_FLOOR)
    return total
