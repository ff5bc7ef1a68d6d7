"""Scores of one run: for each group of test cells, and for each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from sims_tools.confidence import evaluation_tables
from sims_tools.studies._method import Prediction

Row = dict[str, Any]

KNOWN_SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "median_f1", "weighted_f1", "ece")
CLASS_SCORES = ("n_cells", "n_called", "precision", "recall", "f1")


def score_groups(
    prediction: Prediction, classes: np.ndarray, truth: np.ndarray, groups: np.ndarray, *, gives_probabilities: bool
) -> tuple[list[Row], list[Row]]:
    """One row for each group, and one for each group and class.

    Scores are of the cells of classes that were trained on; a known cell without a call is missed. A cell of another
    class, novel, has no right call here unless it is not called at all; `accuracy_all` counts these as well.

    Parameters
    ----------
    prediction
        Of n cells.
    classes
        (C,) names.
    truth, groups
        (n,) names of the labels and of the groups.
    gives_probabilities
        Whether a calibration error makes sense.
    """
    novel = np.setdiff1d(truth.astype(str), classes.astype(str))
    names = np.array([*classes, *novel], dtype=object)
    place = {name: code for code, name in enumerate(names)}
    codes = np.array([place[name] for name in truth], dtype=np.int64)
    rows: list[Row] = []
    of_classes: list[Row] = []
    for group in dict.fromkeys(groups.tolist()):
        cells = np.flatnonzero(groups == group)
        true, called = codes[cells], prediction.called[cells]
        row = _counts(group, true, names, len(classes))
        if row["n_novel"] < len(cells):
            tables = evaluation_tables(prediction.prob[cells], true, called, names=names)
            overall = tables["overall"].set_index(["cells", "score"])["value"]["known"]
            row |= {name: float(overall[name]) for name in KNOWN_SCORES}
            table = tables["per_class"][["label", *CLASS_SCORES]]
            of_classes += [{"group": group, **each} for each in table.to_dict("records")]
        else:
            row |= dict.fromkeys(KNOWN_SCORES, float("nan"))
        if not gives_probabilities:
            row["ece"] = float("nan")
        row["weighted_accuracy"] = row["accuracy"]
        right = np.where(true < len(classes), called == true, called == len(classes))
        row["accuracy_all"] = float(right.mean())
        rows.append(row)
    return rows, of_classes


def _counts(group: str, true: np.ndarray, names: np.ndarray, n_classes: int) -> Row:
    """How many cells are tested, and how many of them are of classes that nothing is known of."""
    novel = np.unique(true[true >= n_classes])
    return {
        "group": group,
        "n_test": len(true),
        "n_novel": int((true >= n_classes).sum()),
        "novel": ", ".join(str(names[code]) for code in novel),
    }
