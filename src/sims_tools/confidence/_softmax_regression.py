"""Multinomial logistic regression, reduced to its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.linear_model import LogisticRegression

_STEPS = 1000


@dataclass(frozen=True, eq=False)
class SoftmaxRegression:
    """Linear logits of each class.

    Parameters
    ----------
    weights
        (d, K).
    offsets
        (K,).
    """

    weights: np.ndarray
    offsets: np.ndarray

    @classmethod
    def fit(cls, rows: np.ndarray, codes: np.ndarray, *, strength: float = 1.0) -> Self:
        """Smallest summed cross-entropy plus a ridge on the weights.

        Parameters
        ----------
        rows
            (n, d).
        codes
            (n,) classes 0 to K - 1, each of them there.
        strength
            The ridge is half the summed square of the weights, divided by this, with columns in units of the largest
            spread among them.
        """
        n_classes = int(codes.max()) + 1
        if n_classes == 1:
            return cls(np.zeros((rows.shape[1], 1), np.float32), np.zeros(1, np.float32))
        x = rows.astype(np.float64)
        unit = float(x.std(0).max(initial=0.0)) or 1.0
        fitted = LogisticRegression(C=strength, max_iter=_STEPS).fit(x / unit, codes)
        weights, offsets = fitted.coef_.T / unit, fitted.intercept_
        if n_classes == 2:  # given as one difference: half of it to each side
            weights, offsets = weights * [[-0.5, 0.5]], offsets * [-0.5, 0.5]
        return cls(weights.astype(np.float32), (offsets - offsets.mean()).astype(np.float32))

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(n, K) of rows (n, d)."""
        return np.asarray(rows @ self.weights + self.offsets)
