"""Precision, recall and F1 of every class, and their means."""

from __future__ import annotations

import numpy as np
import pandas as pd


def confusion_counts(true: np.ndarray, called: np.ndarray, n_true: int, n_classes: int) -> np.ndarray:
    """(n_true, n_classes + 1) cells by true label and by call; the last column is that of cells without a call.

    Parameters
    ----------
    true
        (n,) in [0, n_true); labels from `n_classes` on are of no class.
    called
        (n,) in [0, n_classes].
    n_true, n_classes
        Number of true labels, and of classes.
    """
    pairs = true * (n_classes + 1) + called
    return np.bincount(pairs, minlength=n_true * (n_classes + 1)).reshape(n_true, n_classes + 1)


def class_scores(counts: np.ndarray) -> pd.DataFrame:
    """How well each class is called.

    Parameters
    ----------
    counts
        (n_true, n_classes + 1) as :func:`confusion_counts` gives them.

    Returns
    -------
    One row for each class: `n_cells` that are of it, `n_called` of the cells of known classes that are called so,
    `n_novel_called` of the others; `precision`, `recall` and `f1` among the cells of known classes. A cell without a
    call is missed by its class and called by none. What has no cells to divide by is NaN.
    """
    n_classes = counts.shape[1] - 1
    known = counts[:n_classes]
    hits, n_cells, n_called = np.diagonal(known), known.sum(1), known[:, :n_classes].sum(0)
    with np.errstate(invalid="ignore"):
        return pd.DataFrame(
            {
                "n_cells": n_cells,
                "n_called": n_called,
                "n_novel_called": counts[n_classes:, :n_classes].sum(0),
                "precision": hits / n_called,
                "recall": hits / n_cells,
                "f1": 2 * hits / (n_cells + n_called),
            }
        )


def mean_scores(table: pd.DataFrame) -> dict[str, float]:
    """Accuracy, balanced accuracy, and macro, median and weighted F1, over the classes that have cells.

    Parameters
    ----------
    table
        As :func:`class_scores` gives it; one class at least has cells.
    """
    table = table[table["n_cells"] > 0]
    return {
        "accuracy": float(np.average(table["recall"], weights=table["n_cells"])),
        "balanced_accuracy": float(table["recall"].mean()),
        "macro_f1": float(table["f1"].mean()),
        "median_f1": float(table["f1"].median()),
        "weighted_f1": float(np.average(table["f1"], weights=table["n_cells"])),
    }
