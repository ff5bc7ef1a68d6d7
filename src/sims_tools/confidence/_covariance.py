"""A covariance that can be inverted however few the cells."""

from __future__ import annotations

import math

import numpy as np
from scipy import linalg

_LEAST_SHRINKAGE = 1e-3
"""Directions in which no training cell differs count as having this share of the mean variance."""


def whitening(centred: np.ndarray, shrinkage: float, *, least_variance: float = 0.0) -> np.ndarray:
    """A matrix W for which the squared length of x W is the squared Mahalanobis distance of x to zero.

    Parameters
    ----------
    centred
        (n, d) values of mean zero.
    shrinkage
        Share of the mean variance, the same in every direction, in the covariance; 0.1 % at least.
    least_variance
        The mean variance counts as at least this. It must be above 0 where no value differs from zero.

    Returns
    -------
    (d, d) float64.
    """
    values = np.asarray(centred, dtype=np.float64)
    unit = math.sqrt(max(float(np.mean(values**2)), least_variance))
    values = values / unit
    variances, axes = linalg.eigh(values.T @ values / len(values))
    mixed = max(shrinkage, _LEAST_SHRINKAGE)
    mean = max(float(np.mean(variances)), least_variance / unit**2)
    return axes / (unit * np.sqrt((1 - mixed) * np.maximum(variances, 0.0) + mixed * mean))


def with_more_spread(whitener: np.ndarray, gained: np.ndarray) -> np.ndarray:
    """The whitening of a covariance to which another one (d, d) is added, from its own whitening (d, d)."""
    wide = np.asarray(whitener, dtype=np.float64)
    variances, axes = linalg.eigh(np.linalg.inv(wide @ wide.T) + gained)
    return np.asarray((axes / np.sqrt(variances)).astype(whitener.dtype))
