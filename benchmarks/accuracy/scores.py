"""How good predictions are, and how far their probabilities can be believed."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import f1_score

N_BINS = 15
FLOOR = 1e-7
"""Least probability whose logarithm is taken: what single precision can tell from zero."""
FEW = (3, 10)
"""Training cells of a class that has few."""


def score(prob: np.ndarray, classes: np.ndarray, truth: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """All scores of one prediction.

    Parameters
    ----------
    prob
        (n, C); rows are brought to sum to 1.
    classes
        (C,) names of its columns.
    truth
        (n,) labels of the cells.
    labels
        Labels of the training cells.

    Returns
    -------
    Averages over classes are over those that `truth` has. `few_f1` is the mean F1 of classes of 3 to 10 training
    cells, None without any.

    Raises
    ------
    ValueError
        A label is not among the classes, or there are values that cannot be probabilities.
    """
    present = np.unique(truth)
    if not np.isin(present, classes).all():
        raise ValueError(f"No column for {', '.join(np.setdiff1d(present, classes))}.")
    if prob.shape != (len(truth), len(classes)) or not np.isfinite(prob).all() or (prob < 0).any():
        raise ValueError(f"Probabilities of shape {prob.shape} with NaN, infinite or negative values, or too few.")
    prob = prob.astype(np.float64)
    sums = prob.sum(1, keepdims=True)
    prob = np.where(sums > 0, prob / np.where(sums > 0, sums, 1), 1 / len(classes))
    calls = classes[prob.argmax(1)]
    each_f1 = f1_score(truth, calls, labels=present, average=None, zero_division=0)
    recall = [float((calls[truth == name] == name).mean()) for name in present]
    sizes = np.array([(labels == name).sum() for name in present])
    few = (sizes >= FEW[0]) & (sizes <= FEW[1])
    right = calls == truth
    return {
        "accuracy": float(right.mean()),
        "balanced_accuracy": float(np.mean(recall)),
        "macro_f1": float(each_f1.mean()),
        "median_f1": float(np.median(each_f1)),
        "few_f1": float(each_f1[few].mean()) if few.any() else None,
        "ece": calibration_error(prob.max(1), right),
        "ece_by_chance": error_by_chance(prob.max(1)),
        **_proper(prob, classes, truth),
    }


def calibration_error(confidence: np.ndarray, right: np.ndarray, n_bins: int = N_BINS) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over bins of equal width, by cells.

    Parameters
    ----------
    confidence, right
        (n,) largest probability, and whether the call was right.
    """
    bins = np.clip(np.ceil(confidence * n_bins).astype(int) - 1, 0, n_bins - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=n_bins)
    return float(np.abs(gaps).sum() / len(confidence))


def error_by_chance(confidence: np.ndarray, n_draws: int = 100) -> float:
    """Calibration error that probabilities would show if they were exactly right: few cells never match a share.

    Parameters
    ----------
    confidence
        (n,) largest probability of each cell.
    n_draws
        Times that the cells are drawn to be right or wrong with just this probability.
    """
    drawn = np.random.default_rng(0).random((n_draws, len(confidence))) < confidence
    return float(np.mean([calibration_error(confidence, right) for right in drawn]))


def _proper(prob: np.ndarray, classes: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Mean negative log-likelihood and Brier score (0 to 2)."""
    is_truth = classes[None, :] == truth[:, None]
    of_truth = prob[is_truth]
    return {
        "nll": float(-np.log(np.maximum(of_truth, FLOOR)).mean()),
        "brier": float(((prob - is_truth) ** 2).sum(1).mean()),
    }
