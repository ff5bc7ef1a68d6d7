"""Masks of several steps joined into one."""

from __future__ import annotations

import numpy as np

from ._jit import ROWS, Array, compiled, run_tasks
from ._masks import Masks
from ._memory import unset


@compiled
def _join(
    task: int, starts: Array, genes: Array, shares: Array, weights: Array, offsets: Array, out: Array, joined: Array,
    counts: Array,
) -> None:  # fmt: skip
    n_steps = len(starts)
    position = np.empty(n_steps, np.int64)
    for r in range(task * ROWS, min((task + 1) * ROWS, len(counts))):
        for t in range(n_steps):
            position[t] = starts[t, r]
        n = offsets[r]
        while True:
            gene = np.int64(1) << 40
            for t in range(n_steps):
                if position[t] < starts[t, r + 1]:
                    gene = min(gene, np.int64(genes[position[t]]))
            if gene == np.int64(1) << 40:
                break
            total = shares.dtype.type(0)
            for t in range(n_steps):
                if position[t] < starts[t, r + 1] and genes[position[t]] == gene:
                    total += weights[r, t] * shares[position[t]]
                    position[t] += 1
            if total != 0:
                out[n], joined[n] = gene, total
                n += 1
        counts[r] = n - offsets[r]


def join_masks(masks: Masks, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weighted sum of the masks of all steps.

    Parameters
    ----------
    masks
        Of all steps.
    weights
        (B, n_steps).

    Returns
    -------
    CSR row starts, genes and shares; genes of share zero are left out.
    """
    sizes = np.diff(masks.starts, axis=1).sum(0)
    offsets = np.concatenate([[0], sizes.cumsum()])
    size = (int(offsets[-1]),)
    genes, shares = unset(size, np.int32), unset(size, masks.shares.dtype)
    counts = np.empty(len(sizes), np.int64)
    run_tasks(
        _join, -(-len(sizes) // ROWS), masks.starts, masks.genes, masks.shares, weights, offsets, genes, shares, counts
    )
    indptr = np.concatenate([[0], counts.cumsum()])
    if indptr[-1] == offsets[-1]:
        return indptr, genes, shares
    kept = np.repeat(offsets[:-1] - indptr[:-1], counts) + np.arange(indptr[-1])
    return indptr, genes[kept], shares[kept]
