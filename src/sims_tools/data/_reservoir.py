"""A few cells out of a stream of unknown length, held while it goes by."""

from __future__ import annotations

import numpy as np
from scipy import sparse


class Reservoir:
    """Draws cells in one pass, holding twice as many at most.

    Every cell is given a number at random, and those of the lowest stay.

    Parameters
    ----------
    limit
        Cells to draw; all where there are no more.
    seed
        Of the numbers.
    balanced
        Draw as evenly over the classes as their numbers allow, instead of all cells alike.
    """

    def __init__(self, limit: int, seed: int, *, balanced: bool = False) -> None:
        self._limit, self._rng, self._balanced = limit, np.random.default_rng(seed), balanced
        self._blocks: list[sparse.csr_matrix] = []
        self._columns: list[np.ndarray] = []

    def add(self, linear: sparse.csr_matrix, totals: np.ndarray, codes: np.ndarray) -> None:
        """Take in cells: linear values (n, n_genes), totals (n,), classes (n,)."""
        self._blocks.append(linear)
        self._columns.append(np.stack([totals, codes, self._rng.random(len(codes))]))
        if sum(block.shape[0] for block in self._blocks) > 2 * self._limit:
            self._trim()

    def take(self) -> tuple[sparse.csr_matrix, np.ndarray, np.ndarray]:
        """What was drawn: linear values (n, n_genes), totals (n,), classes (n,); there is one cell at least."""
        self._trim()
        totals, codes, _ = self._columns[0]
        return self._blocks[0], totals, codes.astype(np.int64)

    def __len__(self) -> int:
        return min(self._limit, sum(block.shape[0] for block in self._blocks))

    def _trim(self) -> None:
        linear, columns = sparse.vstack(self._blocks, format="csr"), np.concatenate(self._columns, axis=1)
        _, codes, numbers = columns
        turns = _turns(codes.astype(np.int64), numbers) if self._balanced else np.zeros(len(codes))
        kept = np.sort(np.lexsort((numbers, turns))[: self._limit])
        self._blocks, self._columns = [linear[kept]], [columns[:, kept]]


def _turns(codes: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """(n,) how many cells of its class have a lower number."""
    order = np.lexsort((numbers, codes))
    counts = np.bincount(codes)
    turns = np.empty(len(codes), np.int64)
    turns[order] = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    return turns
