"""How unlike the training cells a cell is: distance to class means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist

from sims_tools._validate import check_fraction

from ._checks import check_codes, check_finite
from ._covariance import whitening

_LEAST_WITHIN = 1e-6
"""Variance within classes counts as at least this share of that of all cells; as 1 where all cells are alike."""

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class Mahalanobis:
    """Squared distance to the nearest class mean, in units of the spread within classes.

    The covariance is that of all classes together: Lee et al., "A Simple Unified Framework for Detecting
    Out-of-Distribution Samples and Adversarial Attacks" (NeurIPS 2018). The relative distance takes away that to the
    mean of all cells, in units of the spread of all cells: Ren et al., "A Simple Fix to Mahalanobis Distance for
    Improving Near-OOD Detection" (2021).

    Both covariances are shrunk by the same share towards the same variance in every direction, so that they can be
    inverted with few cells or many dimensions. The share matters little, but that it is the same does: embeddings have
    heavy tails, for which a share that is derived from the cells (Ledoit and Wolf, 2004) is far larger within classes
    than over all cells, and the difference of the distances means nothing.

    Parameters
    ----------
    means
        (K, d) float32 mean of each class that has cells.
    whitening
        (d, d) float32; what differences are multiplied with to have unit spread within classes.
    background_mean, background_whitening
        (1, d) and (d, d) float32, the same of all cells; None where the distance is not relative.
    """

    means: np.ndarray
    whitening: np.ndarray
    background_mean: np.ndarray | None = None
    background_whitening: np.ndarray | None = None

    @classmethod
    def fit(
        cls, embedding: np.ndarray, codes: np.ndarray, *, relative: bool = True, shrinkage: float = 0.1
    ) -> Mahalanobis:
        """Means and covariance of the training cells.

        Parameters
        ----------
        embedding
            (n, d) of training cells.
        codes
            (n,) class of each, at least 0.
        relative
            Take away the distance to the mean of all cells.
        shrinkage
            Share of the mean variance, the same in every direction, in the covariances, from 0 to 1; 0.1 % at least.

        Raises
        ------
        ValueError
            There are no cells, shapes do not fit, values are not finite, codes are negative, `shrinkage` is no share,
            or there is one class only where the distance is to be relative.
        """
        check_fraction("shrinkage", shrinkage, closed=True)
        rows = check_finite("embedding", embedding).astype(np.float64)
        present, own = np.unique(check_codes(codes, len(rows)), return_inverse=True)
        if relative and len(present) < 2:
            raise ValueError(
                "`codes` holds one class only, for which the relative distance is 0 everywhere; expected two classes "
                "or more. Use `relative=False`."
            )
        means = np.zeros((len(present), rows.shape[1]))
        np.add.at(means, own, rows)
        means /= np.bincount(own)[:, None]
        centre = rows.mean(0, keepdims=True)
        overall = float(np.mean((rows - centre) ** 2))
        least = _LEAST_WITHIN * overall if overall > 0 else 1.0
        within = whitening(rows - means[own], shrinkage, least_variance=least)
        if not relative:
            return cls(_single(means), _single(within))
        background = whitening(rows - centre, shrinkage, least_variance=least)
        return cls(_single(means), _single(within), _single(centre), _single(background))

    def score(self, embedding: np.ndarray) -> np.ndarray:
        """(n,) float32 of embeddings (n, d)."""
        rows = check_finite("embedding", embedding, self.means.shape[1])
        nearest = _squared_distances(rows, self.means, self.whitening).min(1)
        if self.background_mean is not None and self.background_whitening is not None:
            nearest -= _squared_distances(rows, self.background_mean, self.background_whitening)[:, 0]
        return np.clip(nearest, -_LARGEST, _LARGEST).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What to store."""
        return {name: value for name, value in vars(self).items() if value is not None}

    @classmethod
    def from_arrays(cls, stored: dict[str, np.ndarray]) -> Mahalanobis:
        """The inverse of :meth:`to_arrays`."""
        return cls(**stored)


def _single(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=np.float32)


def _squared_distances(rows: np.ndarray, means: np.ndarray, whitener: np.ndarray) -> np.ndarray:
    """(n, K) float64 between whitened rows and whitened means."""
    wide = whitener.astype(np.float64)
    return cdist(rows.astype(np.float64) @ wide, means.astype(np.float64) @ wide, "sqeuclidean")
