"""Values of cells in which their nearest cells have a say."""

from __future__ import annotations

import numpy as np
from sklearn.neighbors import NearestNeighbors

N_NEAREST = 15
MOST = 20_000
"""Cells that are compared with, at most: evenly spaced ones where there are more."""

SHARE = 2 / 3
"""What the neighbors say counts so much, the cell itself for the rest."""


def with_neighbors(values: np.ndarray, places: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Two thirds of the median over a cell and its nearest of the same group, and one third of its own value.

    Parameters
    ----------
    values
        (n,) of the cells.
    places
        (n, d) coordinates whose Euclidean distances count.
    groups
        (n,) whole numbers; cells of other groups have no say.

    Returns
    -------
    (n,) of the type of `values`.
    """
    said = np.empty_like(values)
    for group in np.unique(groups):
        cells = np.flatnonzero(groups == group)
        said[cells] = local_median(values[cells], places[cells])
    return (SHARE * said + (1 - SHARE) * values).astype(values.dtype)


def local_median(values: np.ndarray, places: np.ndarray, n_nearest: int = N_NEAREST, most: int = MOST) -> np.ndarray:
    """(n,) medians over each cell and those that are nearest to it.

    Parameters
    ----------
    values, places
        (n,) and (n, d), of at least one cell.
    n_nearest
        Cells that the median is of, the cell itself among them; no more than there are.
    most
        Cells that are looked among, at most.
    """
    n = len(values)
    kept = np.unique(np.linspace(0, n - 1, min(n, most)).astype(np.int64))
    finder = NearestNeighbors(n_neighbors=min(n_nearest, len(kept)), algorithm="brute").fit(places[kept])
    near = kept[finder.kneighbors(places, return_distance=False)]
    others = ~np.isin(np.arange(n), kept)
    near[others, -1] = np.flatnonzero(others)
    return np.median(values[near], axis=1).astype(values.dtype)
