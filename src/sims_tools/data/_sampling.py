"""How often each training cell is drawn in an epoch."""

from __future__ import annotations

import numpy as np

SAMPLINGS = ("uniform", "balanced")


def balanced_draws(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draws of each cell in an epoch in which all classes are drawn equally often.

    There are as many draws as cells. Cells of a large class are drawn once or not at all, others the next epoch; those
    of a small class over and over, none more than once oftener than another of its class.

    Parameters
    ----------
    codes
        (n,) class of each cell.
    rng
        Where chance comes from.

    Returns
    -------
    (n,) int64; the sum is n, and the sums of two classes differ by 1 at most.
    """
    n, sizes = len(codes), np.bincount(codes)
    classes = np.flatnonzero(sizes)
    share, more = divmod(n, max(len(classes), 1))
    wanted = np.zeros(len(sizes), np.int64)
    wanted[classes] = share
    wanted[classes[:more]] += 1
    drawn = rng.permutation(n)
    by_class = drawn[np.argsort(codes[drawn], kind="stable")]
    turn = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    laps, rest = np.divmod(wanted, np.maximum(sizes, 1))
    of = codes[by_class]
    draws = np.empty(n, np.int64)
    draws[by_class] = laps[of] + (turn < rest[of])
    return draws
