"""A choice of training cells in which rare classes keep theirs."""

from __future__ import annotations

import numpy as np


def balanced_choice(codes: np.ndarray, limit: int, random_state: int | None) -> np.ndarray:
    """Sorted indices of at most `limit` cells, as even over the classes as their numbers allow."""
    drawn = np.random.default_rng(random_state).permutation(len(codes))
    by_class = np.argsort(codes[drawn], kind="stable")
    counts = np.bincount(codes)
    turns = np.arange(len(codes)) - np.repeat(np.cumsum(counts) - counts, counts)
    # a cell of every class, then another of every class, until the limit
    return np.sort(drawn[by_class[np.lexsort((by_class, turns))[:limit]]])
