"""One label for each group of cells."""

from __future__ import annotations

import numpy as np


def majority_vote(codes: np.ndarray, groups: np.ndarray, n_codes: int) -> tuple[np.ndarray, np.ndarray]:
    """The most frequent label of each cell's group and its share there.

    Parameters
    ----------
    codes
        (n,) label of each cell, in [0, n_codes); the last code means "not called" and wins only where no cell of
        the group is called.
    groups
        (n,) group of each cell; -1 is no group: such a cell keeps its own label with share 1.
    n_codes
        Number of codes.

    Returns
    -------
    (n,) winning codes (ties go to the first class) and (n,) float32 shares among all cells of the group.
    """
    return cast_votes(codes, groups, *winners(count_votes(codes, groups, int(groups.max(initial=-1)) + 1, n_codes)))


def count_votes(codes: np.ndarray, groups: np.ndarray, n_groups: int, n_codes: int) -> np.ndarray:
    """(n_groups, n_codes): how often each label of cells (n,) is in each of their groups (n,)."""
    table = np.zeros((n_groups, n_codes), dtype=np.int64)
    grouped = groups >= 0
    np.add.at(table, (groups[grouped], codes[grouped]), 1)
    return table


def winners(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n_groups,) winning code of each group, and its share there, from :func:`count_votes`."""
    ranked = table.copy()
    ranked[:, -1] = np.where(table[:, :-1].sum(1) > 0, 0, table[:, -1])
    best = ranked.argmax(1)
    return best, table[np.arange(len(table)), best] / np.maximum(table.sum(1), 1)


def cast_votes(
    codes: np.ndarray, groups: np.ndarray, best: np.ndarray, shares: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What :func:`majority_vote` gives for some cells, from the winners of all groups."""
    vote, share = codes.copy(), np.ones(len(codes), dtype=np.float32)
    grouped = groups >= 0
    vote[grouped] = best[groups[grouped]]
    share[grouped] = shares[groups[grouped]]
    return vote, share
