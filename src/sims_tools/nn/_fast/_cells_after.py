"""What networks that work side by side do after the forward pass: move running statistics, join masks."""

from __future__ import annotations

import numpy as np

from ._addresses import OF_NORM, matrix_at, row_at
from ._cells import Batch, How, Kept, Sizes, attentive_places, cells_of, norm_places
from ._cells_attend import masks_of, scores_of
from ._jit import Array, compiled, inlined


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
        Written: the sum where features are stored, (n_stored,), or everywhere, (B * p,); zero where nothing is
        selected.
    """
    cells = cells_of(task, batch, how.measure)
    sums = np.zeros(sizes.p, out.dtype)
    for r in range(cells.n):
        for member in range(len(weights)):
            masks = masks_of(member, task, cells, sizes, how, kept)
            for step in range(sizes.n_steps):
                weight = weights[member, step, cells.first + r]
                for e in range(masks.starts[step, r], masks.starts[step, r + 1]):
                    sums[masks.genes[e]] += weight * masks.shares[e]
        if how.nonzero:
            for at in range(cells.indptr[r], cells.indptr[r + 1]):
                out[cells.offset + at] = sums[cells.indices[at]]
                sums[cells.indices[at]] = 0
        else:
            for j in range(sizes.p):
                out[(cells.first + r) * sizes.p + j] = sums[j]
                sums[j] = 0
