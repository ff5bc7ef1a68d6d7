"""What kernels know of networks that work side by side on one minibatch: sizes, cells, weights, what is kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._addresses import OF_ATTENTIVE, OF_NORM, matrix_at, row_at
from ._jit import Array, compiled, inlined


class Sizes(NamedTuple):
    """Of each network: genes, widths of decision and attention, steps, layers of a transformer, first linear maps."""

    p: int
    n_d: int
    n_a: int
    n_steps: int
    n_layers: int
    n_tables: int


class How(NamedTuple):
    """What is to be computed, and with which constants."""

    measure: bool
    """Each chunk is normalised by its own statistics; otherwise by the running ones."""
    keep: bool
    """The way back is wanted."""
    entmax: bool
    nonzero: bool
    """Only features that are not zero can be selected."""
    center: bool
    """Features are normalised over the batch, by `Inputs`."""
    entropy: bool
    """The masks' entropy is wanted."""
    gamma: float
    eps: float
    momentum: float


class Batch(NamedTuple):
    """The minibatch as CSR, the first cell of each chunk, and the first chunk of each group (both with the end)."""

    indptr: Array
    indices: Array
    values: Array
    first_rows: Array
    groups: Array


class Inputs(NamedTuple):
    """``x * scale + shift`` in place of the input norm of each network, (n_networks, p); empty where there is none."""

    scale: Array
    shift: Array


class Packed(NamedTuple):
    """Small weights of all networks, copied to lie together.

    ``(n_networks, S + 1, ...)``: later linear maps (n_layers - 1, width, 2 width) and transposed, gain, bias, running
    mean and variance (n_layers, 2 width).
    """

    transposed: Array
    linear: Array
    gain: Array
    bias: Array
    mean: Array
    variance: Array


class Kept(NamedTuple):
    """What the forward pass leaves behind, `(n_networks, size)` each; a group of chunks has a run of it to itself."""

    normed: Array
    gates: Array
    states: Array
    means: Array
    variances: Array
    features: Array
    feature_means: Array
    covariance: Array
    score_variance: Array
    levels: Array
    starts: Array
    genes: Array
    shares: Array
    ratios: Array
    inputs: Array
    raw: Array


class Cells(NamedTuple):
    """Cells of one group, as if there were no others.

    Their number, where they begin in the minibatch (first cell, chunk and stored value), CSR, the first cell of each
    chunk, and the chunk whose statistics each cell is normalised by.
    """

    n: int
    first: int
    first_chunk: int
    offset: int
    indptr: Array
    indices: Array
    values: Array
    first_rows: Array
    chunk_of: Array


@inlined
def cells_of(group: int, batch: Batch, measure: bool) -> Cells:
    """Those of one group."""
    low, high = batch.groups[group], batch.groups[group + 1]
    first, last = batch.first_rows[low], batch.first_rows[high]
    begin, end = batch.indptr[first], batch.indptr[last]
    first_rows, indptr = _moved(batch.first_rows, low, high, first), _moved(batch.indptr, first, last, begin)
    chunk_of = np.zeros(last - first, np.int64)
    if measure:
        for chunk in range(high - low):
            for r in range(first_rows[chunk], first_rows[chunk + 1]):
                chunk_of[r] = chunk
    indices, values = batch.indices[begin:end], batch.values[begin:end]
    return Cells(last - first, first, low, begin, indptr, indices, values, first_rows, chunk_of)


@compiled
def _moved(bounds: Array, low: int, high: int, origin: int) -> Array:
    """Some bounds, the first at 0."""
    moved = np.empty(high - low + 1, np.int64)
    for i in range(high - low + 1):
        moved[i] = bounds[low + i] - origin
    return moved


@inlined
def table_at(step: int, places: Array, sizes: Sizes, like: Array) -> Array:
    """(p, 2 width): first linear map of the transformer before (0) or of a step (1, 2, ...)."""
    return matrix_at(places[step if sizes.n_tables > 1 else 0], sizes.p, 2 * (sizes.n_d + sizes.n_a), like)


@inlined
def norm_places(sizes: Sizes) -> int:
    """Where the addresses of the norms begin."""
    return sizes.n_tables + (sizes.n_steps + 1) * (sizes.n_layers - 1)


@inlined
def attentive_places(step: int, sizes: Sizes) -> int:
    """Where those of an attentive part begin: weight, then its norm."""
    return norm_places(sizes) + (sizes.n_steps + 1) * sizes.n_layers * OF_NORM + step * OF_ATTENTIVE


@compiled
def pack_weights(member: int, sizes: Sizes, measure: bool, addresses: Array, packed: Packed) -> None:
    """Copy the small weights of one network."""
    places, width = addresses[member], sizes.n_d + sizes.n_a
    later, norms = sizes.n_tables, norm_places(sizes)
    for t in range(sizes.n_steps + 1):
        for layer in range(sizes.n_layers - 1):
            at = places[later + t * (sizes.n_layers - 1) + layer]
            weight = matrix_at(at, 2 * width, width, packed.linear)
            linear, transposed = packed.linear[member, t, layer], packed.transposed[member, t, layer]
            for i in range(2 * width):
                for k in range(width):
                    linear[i, k] = weight[i, k]
                    transposed[k, i] = weight[i, k]
        for layer in range(sizes.n_layers):
            at = norms + (t * sizes.n_layers + layer) * OF_NORM
            _take(places[at], packed.gain[member, t, layer])
            _take(places[at + 1], packed.bias[member, t, layer])
            if not measure:
                _take(places[at + 2], packed.mean[member, t, layer])
                _take(places[at + 3], packed.variance[member, t, layer])


@compiled
def _take(address: int, out: Array) -> None:
    values = row_at(address, len(out), out)
    for k in range(len(out)):
        out[k] = values[k]
