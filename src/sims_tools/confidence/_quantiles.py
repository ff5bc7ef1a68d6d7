"""Sorted scores of one group of cells, kept short, and the rank that a conformal threshold has among them."""

from __future__ import annotations

import math

import numpy as np

_ROUNDING = 1e-9
"""(n + 1)(1 - alpha) may miss a whole number by this much and still be it."""


def conformal_rank(n_cells: int, alpha: float) -> int:
    """Rank of the threshold among n sorted scores, from 1: ceil((n + 1)(1 - alpha)); above n where n is too small.

    Vovk, Gammerman and Shafer, "Algorithmic Learning in a Random World" (2005). A fresh score that is exchangeable
    with the n is at most that of this rank with a probability of at least 1 - alpha.
    """
    return max(math.ceil((n_cells + 1) * (1.0 - alpha) - _ROUNDING), 1)


def shorten(scores: np.ndarray, limit: int) -> np.ndarray:
    """Sorted scores; where there are more than `limit`, those of evenly spaced ranks up to the largest."""
    ordered = np.sort(scores)
    return ordered[stored_ranks(len(ordered), min(len(ordered), limit)) - 1]


def stored_ranks(n_cells: int, n_stored: int) -> np.ndarray:
    """(n_stored,) rank, from 1, of each stored score among those of all cells."""
    return -(-np.arange(1, n_stored + 1, dtype=np.int64) * n_cells // max(n_stored, 1))


def threshold(scores: list[np.ndarray], n_cells: list[int], alpha: float) -> float:
    """The conformal threshold of the cells of one or several groups.

    A score that is not stored counts as the next larger one that is, so shortening never lowers a threshold.

    Parameters
    ----------
    scores
        Sorted, shortened scores of each group.
    n_cells
        Cells of each group.
    alpha
        Share of cells that may lie above.

    Returns
    -------
    The threshold; infinite where there are too few cells.
    """
    rank = conformal_rank(sum(n_cells), alpha)
    if rank > sum(n_cells):
        return math.inf
    stands_for = [np.diff(stored_ranks(n, len(each)), prepend=0) for each, n in zip(scores, n_cells, strict=True)]
    values = np.concatenate(scores)
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(np.concatenate(stands_for)[order])
    return float(values[order][np.searchsorted(ranks, rank)])
