"""How well two rankings of genes agree."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def top(weights: NDArray[np.float64], n_top: int) -> NDArray[np.intp]:
    """The heaviest genes, best first; those without weight are not among them."""
    best = np.argsort(-weights, kind="stable")[:n_top]
    return best[weights[best] > 0]


def jaccard(first: NDArray[np.intp], second: NDArray[np.intp]) -> float:
    """Shared over all members of two sets; NaN where both are empty."""
    union = np.union1d(first, second).size
    return np.intersect1d(first, second).size / union if union else np.nan


def spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Rank correlation over all genes, ties in the middle: 0 for masks that have nothing to do with each other.

    (Over the genes only that either looks at, such masks would seem to be opposed.) Where all ranks of one are equal
    it is 1 if the weights are equal, else 0.
    """
    one, other = (rankdata(weights) for weights in (first, second))
    one, other = one - one.mean(), other - other.mean()
    size = np.sqrt((one @ one) * (other @ other))
    return float(one @ other / size) if size > 0 else float(np.array_equal(first, second))
