"""Multinomial logistic regression on a few columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

_STEPS = 200


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
            (n,) classes 0 to K - 1.
        strength
            The ridge is half the summed square of the weights, divided by this, with columns in units of the largest
            spread among them.
        """
        x = rows.astype(np.float64)
        unit = float(x.std(0).max(initial=0.0)) or 1.0
        x, wanted = x / unit, np.eye(int(codes.max()) + 1)[codes]
        d, k = x.shape[1], wanted.shape[1]

        def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
            weights, offsets = flat[: d * k].reshape(d, k), flat[d * k :]
            logits = x @ weights + offsets
            total = logsumexp(logits, axis=1)
            excess = np.exp(logits - total[:, None]) - wanted
            value = total.sum() - (logits * wanted).sum() + (weights**2).sum() / (2 * strength)
            return value, np.concatenate([(x.T @ excess + weights / strength).ravel(), excess.sum(0)])

        found = minimize(loss, np.zeros(d * k + k), jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
        offsets = found[d * k :] - found[d * k :].mean()
        return cls((found[: d * k].reshape(d, k) / unit).astype(np.float32), offsets.astype(np.float32))

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """(n, K) of rows (n, d)."""
        return np.asarray(rows @ self.weights + self.offsets)
