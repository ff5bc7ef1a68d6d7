"""How far probabilities can be trusted: calibration error, Brier score, likelihood, and the table behind a diagram."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import ndtri

from sims_tools._validate import check_count, check_open_share

from ._checks import check_codes, check_prob
from ._true_class import TrueClass

_SMALLEST = float(np.finfo(np.float32).tiny)
"""A probability of 0 counts as this in the likelihood: 87 nats."""


def reliability_table(
    prob: np.ndarray, codes: np.ndarray, *, n_bins: int = 15, adaptive: bool = False, level: float = 0.95
) -> pd.DataFrame:
    """How often calls are right, by how sure they are.

    Parameters
    ----------
    prob
        (n, C) probabilities.
    codes
        (n,) true class of each cell, in [0, C).
    n_bins
        Bins of the largest probability.
    adaptive
        Bins of as many cells each, rather than of the same width. Cells of the same probability share a bin, so
        there may be fewer bins.
    level
        Level of the intervals.

    Returns
    -------
    One row for each bin: `lower` and `upper` edge (the upper belongs to the bin), `n` cells, their mean `confidence`,
    `accuracy` of their calls, and `accuracy_low` and `accuracy_high`, its Wilson interval (Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 1927). Means of a bin without cells are NaN.

    Raises
    ------
    ValueError
        There are no cells, shapes do not fit, values are no probabilities or codes out of range.
    """
    return reliability_of(_checked(prob, codes), n_bins=n_bins, adaptive=adaptive, level=level)


def reliability_of(cells: TrueClass, *, n_bins: int = 15, adaptive: bool = False, level: float = 0.95) -> pd.DataFrame:
    """:func:`reliability_table` of probabilities that were read."""
    check_count("n_bins", n_bins)
    confidence, right = cells.confidence, cells.right
    edges = _equal_mass(confidence, n_bins) if adaptive else np.linspace(0.0, 1.0, n_bins + 1)
    n_rows = len(edges) - 1
    rows = np.searchsorted(edges[1:-1], confidence, side="left")
    n = np.bincount(rows, minlength=n_rows)
    hits = np.bincount(rows, weights=right, minlength=n_rows)
    with np.errstate(invalid="ignore"):
        means = np.bincount(rows, weights=confidence, minlength=n_rows) / n
        accuracy = hits / n
    low, high = _wilson(hits, n, check_open_share("level", level))
    return pd.DataFrame(
        {
            "lower": edges[:-1],
            "upper": edges[1:],
            "n": n,
            "confidence": means,
            "accuracy": accuracy,
            "accuracy_low": low,
            "accuracy_high": high,
        }
    )


def calibration_error(prob: np.ndarray, codes: np.ndarray, *, n_bins: int = 15, adaptive: bool = False) -> float:
    """Expected calibration error: by how much the largest probability misses the accuracy, on average over bins.

    Bins of equal width are those of Guo et al., "On Calibration of Modern Neural Networks" (ICML 2017); bins of equal
    mass are the adaptive ones of Nguyen and O'Connor, "Posterior calibration and exploratory analysis for natural
    language processing models" (EMNLP 2015). The fewer the cells, the larger it is by chance: up to about
    0.4 * sqrt(n_bins / n) for perfect probabilities.

    Parameters
    ----------
    prob
        (n, C) probabilities.
    codes
        (n,) true class of each cell, in [0, C).
    n_bins
        Bins of the largest probability.
    adaptive
        Bins of equal mass rather than of equal width.

    Returns
    -------
    A number from 0 to 1; 0 is best.

    Raises
    ------
    ValueError
        As :func:`reliability_table`.
    """
    return error_of(reliability_table(prob, codes, n_bins=n_bins, adaptive=adaptive))


def error_of(table: pd.DataFrame) -> float:
    """:func:`calibration_error` of a reliability table."""
    table = table[table["n"] > 0]
    gaps = np.abs(table["accuracy"] - table["confidence"])
    return float(np.average(gaps, weights=table["n"]))


def brier_score(prob: np.ndarray, codes: np.ndarray) -> float:
    """Squared distance of the probabilities to the truth, summed over classes, on average over cells.

    Brier, "Verification of forecasts expressed in terms of probability" (Monthly Weather Review 1950).

    Parameters
    ----------
    prob
        (n, C) probabilities.
    codes
        (n,) true class of each cell, in [0, C).

    Returns
    -------
    A number from 0 to 2; 0 is best.

    Raises
    ------
    ValueError
        As :func:`reliability_table`.
    """
    return brier_of(_checked(prob, codes))


def brier_of(cells: TrueClass) -> float:
    """:func:`brier_score` of probabilities that were read."""
    return float(np.mean(cells.squares - 2.0 * cells.of_true + 1.0))


def negative_log_likelihood(prob: np.ndarray, codes: np.ndarray) -> float:
    """Mean negative log-likelihood of the true classes, in nats.

    Parameters
    ----------
    prob
        (n, C) probabilities; 0 counts as the smallest number of float32.
    codes
        (n,) true class of each cell, in [0, C).

    Returns
    -------
    A number from 0 to 87.4; 0 is best.

    Raises
    ------
    ValueError
        As :func:`reliability_table`.
    """
    return likelihood_of(_checked(prob, codes))


def likelihood_of(cells: TrueClass) -> float:
    """:func:`negative_log_likelihood` of probabilities that were read."""
    return float(-np.log(np.maximum(cells.of_true, _SMALLEST)).mean())


def _checked(prob: np.ndarray, codes: np.ndarray) -> TrueClass:
    """Of cells that are all of one of the classes."""
    prob = check_prob(prob)
    return TrueClass.of(prob, check_codes(codes, *prob.shape))


def _equal_mass(confidence: np.ndarray, n_bins: int) -> np.ndarray:
    """Rising edges between which about as many cells lie; the first and the last are 0 and 1."""
    inner = np.quantile(confidence, np.arange(1, n_bins) / n_bins, method="inverted_cdf")
    return np.concatenate([[0.0], np.unique(inner[inner < confidence.max()]), [1.0]])


def _wilson(hits: np.ndarray, n: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Limits of a share; all of [0, 1] where there are no cases."""
    z = float(ndtri(0.5 + level / 2))
    cases = np.maximum(n, 1)
    share = np.where(n > 0, hits / cases, 0.5)
    centre = (share + z**2 / (2 * cases)) / (1 + z**2 / cases)
    half = z / (1 + z**2 / cases) * np.sqrt(share * (1 - share) / cases + z**2 / (4 * cases**2))
    low, high = np.clip(centre - half, 0.0, 1.0), np.clip(centre + half, 0.0, 1.0)
    return np.where(n > 0, low, 0.0), np.where(n > 0, high, 1.0)
