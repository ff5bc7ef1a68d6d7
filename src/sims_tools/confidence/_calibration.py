"""Temperature scaling: probabilities that are right as often as they say."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq

from ._checks import check_codes, check_rows
from ._probabilities import softmax

SMALLEST_TEMPERATURE, LARGEST_TEMPERATURE = 0.05, 20.0

_PRIOR = 2.0
"""Weight of the prior, in the units of the summed loss."""

_LARGEST = 1e30
"""Logits are cut off here, as the softmax does."""


@dataclass(frozen=True)
class Temperature:
    """One number that logits are divided by before the softmax.

    Dividing by the same number changes how sure the model is, not which class it calls. It is the number that gives
    held-out cells the smallest loss (Guo et al., "On Calibration of Modern Neural Networks", ICML 2017).

    Parameters
    ----------
    value
        The temperature; above 1 where the model was too sure. 1 changes nothing.
    n_cells
        Cells it was fitted on.
    nll_before, nll_after
        Mean negative log-likelihood of those cells, in nats, at temperature 1 and at `value`.
    """

    value: float = 1.0
    n_cells: int = 0
    nll_before: float | None = None
    nll_after: float | None = None

    def __post_init__(self) -> None:
        if not SMALLEST_TEMPERATURE <= self.value <= LARGEST_TEMPERATURE:
            raise ValueError(
                f"`value={self.value!r}` must be a temperature from {SMALLEST_TEMPERATURE:g} to "
                f"{LARGEST_TEMPERATURE:g}; fit it with `Temperature.fit`."
            )

    @classmethod
    def fit(cls, logits: np.ndarray, codes: np.ndarray) -> Temperature:
        r"""Find the temperature on cells that the model has not been trained on.

        With :math:`\beta = 1 / T` it minimises :math:`\sum_i \mathrm{NLL}_i(\beta) + 2 (\beta - 1 - \ln \beta)`,
        which is convex. The second term is a Gamma prior with its mode at 1. It counts about as much as five to ten
        cells: it holds the temperature near 1 where there is a handful of them, keeps it from running to 0 where all
        are called right, and is hardly felt from a hundred cells on. The result lies in [0.05, 20].

        Parameters
        ----------
        logits
            (n, C) of held-out cells, before any softmax.
        codes
            (n,) true class of each, in [0, C).

        Raises
        ------
        ValueError
            There are no cells, shapes do not fit, logits are NaN or codes out of range.
        """
        rows = check_rows("logits", logits)
        true = check_codes(codes, len(rows), rows.shape[1])
        gaps = np.clip(rows.astype(np.float64), -_LARGEST, _LARGEST)
        gaps -= gaps[np.arange(len(gaps)), true][:, None]
        beta = _best_inverse(gaps)
        return cls(1 / beta, len(gaps), _mean_loss(gaps, 1.0), _mean_loss(gaps, beta))

    def apply(self, logits: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
        """Calibrated probabilities.

        Parameters
        ----------
        logits
            (n, C).
        allowed
            (C,) bool; as :func:`softmax` takes it.

        Returns
        -------
        (n, C) float32, rows sum to 1.
        """
        return softmax(np.asarray(logits, dtype=np.float64) / self.value, allowed)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Temperature:
        """The inverse of :meth:`to_dict`."""
        return cls(**stored)


def _best_inverse(gaps: np.ndarray) -> float:
    """Minimum of the penalised loss over 1 / T; its derivative rises everywhere."""
    low, high = 1 / LARGEST_TEMPERATURE, 1 / SMALLEST_TEMPERATURE

    def slope(log_beta: float) -> float:
        beta = np.exp(log_beta)
        weights = np.exp(beta * (gaps - gaps.max(1, keepdims=True)))
        weights /= weights.sum(1, keepdims=True)
        return float((weights * gaps).sum() + _PRIOR * (1 - 1 / beta))

    ends = np.log(low), np.log(high)
    if slope(ends[0]) >= 0:
        return low
    if slope(ends[1]) <= 0:
        return high
    return float(np.clip(np.exp(brentq(slope, *ends, xtol=1e-9)), low, high))


def _mean_loss(gaps: np.ndarray, beta: float) -> float:
    """Mean NLL from logits less that of the true class, (n, C)."""
    top = gaps.max(1)
    return float(np.mean(np.log(np.exp(beta * (gaps - top[:, None])).sum(1)) + beta * top))
