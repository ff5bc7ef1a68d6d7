"""How well scores tell members of a set from others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def auroc(scores: NDArray[np.float64], members: NDArray[np.bool_]) -> float:
    """Probability that a member scores more than another, ties counting half; NaN where there is no pair."""
    n_in, n_out = int(members.sum()), int((~members).sum())
    if not n_in or not n_out:
        return np.nan
    return float((rankdata(scores)[members].sum() - n_in * (n_in + 1) / 2) / (n_in * n_out))
