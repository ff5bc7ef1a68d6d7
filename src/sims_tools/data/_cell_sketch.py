"""A few numbers by which sets of cells are compared that are too many, or on too many machines, to be held together."""

from __future__ import annotations

import numpy as np
from scipy import sparse

SKETCHED = 4096
"""Hashes that are kept of a set of cells, at most: a share of a half is known to within 0.02."""


class CellSketch:
    """The lowest hashes of some cells (bottom-k sketch, Broder 1997, Proc. Compression and Complexity of Sequences).

    Cells of the same values have the same hash, whatever came before them.
    """

    def __init__(self) -> None:
        self._lowest = np.empty(0, np.uint64)
        self._direction: np.ndarray | None = None

    def add(self, linear: sparse.csr_matrix, totals: np.ndarray) -> None:
        """Take in cells: linear values (n, n_genes), totals (n,)."""
        if self._direction is None:
            self._direction = np.random.default_rng(0).standard_normal(linear.shape[1])
        numbers = linear.astype(np.float64) @ self._direction + np.sqrt(2.0) * totals
        self._lowest = np.unique(np.append(self._lowest, _mixed(numbers.view(np.uint64))))[:SKETCHED]

    def take(self) -> np.ndarray:
        """(k,) the hashes, rising."""
        return self._lowest


def alike(one: np.ndarray, other: np.ndarray) -> float:
    """Share of the cells of two sketched sets, taken together, that are in both (Jaccard index).

    Parameters
    ----------
    one, other
        Hashes as :meth:`CellSketch.take` gives them.
    """
    together = np.union1d(one, other)[:SKETCHED]
    if not len(together):
        return 0.0
    return float((np.isin(together, one) & np.isin(together, other)).mean())


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """(n,) hashes of (n,) 64-bit numbers (finaliser of SplitMix64, Steele et al. 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))
