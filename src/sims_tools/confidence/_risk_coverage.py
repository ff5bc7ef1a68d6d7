"""What is gained by keeping only the calls that look sure: risk against coverage, and the area under that curve."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from sims_tools._validate import check_count

from ._checks import check_rows


class _Kept(NamedTuple):
    """The cells above each distinct confidence, highest first.

    Attributes
    ----------
    threshold
        (k,) the distinct values.
    n
        (k,) cells of at least that confidence.
    wrong
        (k,) how many of these are wrong.
    """

    threshold: np.ndarray
    n: np.ndarray
    wrong: np.ndarray


def risk_coverage_curve(confidence: np.ndarray, right: np.ndarray, *, max_points: int | None = None) -> pd.DataFrame:
    """How many calls are wrong among those that are kept, for every threshold of the confidence.

    El-Yaniv and Wiener, "On the Foundations of Noise-free Selective Classification" (JMLR 2010). Cells of the same
    confidence are kept together.

    Parameters
    ----------
    confidence
        (n,) how much each call can be trusted; only the order counts.
    right
        (n,) bool, whether it is right.
    max_points
        Most rows, evenly spread over the coverage; None is one for each distinct confidence.

    Returns
    -------
    One row for each threshold, the highest first: `threshold`, the smallest confidence that is kept; `n_cells` kept;
    `coverage`, their share of all cells; `risk`, the share of wrong calls among them. The last row keeps all cells.

    Raises
    ------
    ValueError
        There are no cells, shapes do not fit, or a confidence is NaN.
    """
    check_count("max_points", max_points)
    kept = _kept(confidence, right)
    total = kept.n[-1]
    rows = np.arange(len(kept.n))
    if max_points is not None and len(rows) > max_points:
        wanted = np.linspace(total, kept.n[0], max_points)  # from the end: a single point is that of all cells
        rows = np.unique(np.searchsorted(kept.n, wanted))
    threshold, n, wrong = (values[rows] for values in kept)
    return pd.DataFrame({"threshold": threshold, "n_cells": n, "coverage": n / total, "risk": wrong / n})


def risk_coverage_area(confidence: np.ndarray, right: np.ndarray) -> float:
    """Area under the risk-coverage curve (AURC): the risk on average over how many cells are kept.

    Geifman, Uziel and El-Yaniv, "Bias-Reduced Uncertainty Estimation for Deep Neural Classifiers" (ICLR 2019). Where
    cells share their confidence it is the mean over all orders they could be in.

    Parameters
    ----------
    confidence
        (n,) how much each call can be trusted; only the order counts.
    right
        (n,) bool, whether it is right.

    Returns
    -------
    A number from 0 to 1; 0 is best, and the share of wrong calls is what a confidence that says nothing has.

    Raises
    ------
    ValueError
        As :func:`risk_coverage_curve`.
    """
    kept = _kept(confidence, right)
    n = np.arange(1, kept.n[-1] + 1)
    wrong = np.interp(n, np.append(0, kept.n), np.append(0, kept.wrong))  # among equals they come evenly
    return float(np.mean(wrong / n))


def _kept(confidence: np.ndarray, right: np.ndarray) -> _Kept:
    scores, hits = np.asarray(confidence), np.asarray(right)
    if scores.ndim != 1 or not scores.size or scores.shape != hits.shape:
        raise ValueError(
            f"`confidence` has shape {scores.shape} and `right` {hits.shape}; expected (n_cells,) both, of one cell at "
            "least."
        )
    if hits.dtype != bool:
        raise ValueError(f"`right` is of type {hits.dtype}; expected True or False for each cell.")
    scores = check_rows("confidence", scores[:, None])[:, 0]
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(ranked[1:] != ranked[:-1]), len(ranked) - 1)
    return _Kept(ranked[last], last + 1, np.cumsum(~hits[order])[last])
