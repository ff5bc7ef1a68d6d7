"""Values of cells that their nearest cells have a say in."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

N_NEAREST = 15
MOST = 20_000
"""Cells that are compared with, at most: evenly spaced ones where there are more."""


def local_median(values: np.ndarray, places: np.ndarray, n_nearest: int = N_NEAREST, most: int = MOST) -> np.ndarray:
    """Median over each cell and those that are nearest to it; the cells of a population take on one value.

    Parameters
    ----------
    values
        (n,) of the cells.
    places
        (n, d) coordinates whose Euclidean distances count.
    n_nearest
        Cells that the median is of, the cell itself among them; no more than there are.
    most
        Cells that are looked among, at most.

    Returns
    -------
    (n,) of the type of `values`.
    """
    n = len(values)
    if n == 0:
        return values
    kept = np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
    finder = NearestNeighbors(n_neighbors=min(n_nearest, len(kept)), algorithm="brute").fit(places[kept])
    near = kept[finder.kneighbors(places, return_distance=False)]
    others = ~np.isin(np.arange(n), kept)
    near[others, -1] = np.flatnonzero(others)
    return np.median(values[near], axis=1).astype(values.dtype)
