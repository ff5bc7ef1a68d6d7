"""Results of the runs as tables."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from sims_tools.studies._run import Result

SCORES = (
    "accuracy", "balanced_accuracy", "macro_f1", "median_f1", "weighted_f1", "weighted_accuracy", "ece", "accuracy_all",
)  # fmt: skip
"""Scores of a run, as the columns of the table are called."""

SECONDS = ("train_seconds", "predict_seconds")

_FIRST = ("model", "fold", "repeat", "fraction", "group", "n_train", "n_classes", "n_test", "n_novel", "novel")


def study_tables(results: Sequence[Result]) -> dict[str, pd.DataFrame]:
    """The tables "scores", "per_class" and, where a method tracks its training, "history".

    Parameters
    ----------
    results
        Of all runs.
    """
    tables = {name: pd.DataFrame([row for each in results for row in each[name]]) for name in results[0]}
    tables["scores"] = tables["scores"][[*_FIRST, *SCORES, *SECONDS]]
    return {name: table for name, table in tables.items() if len(table)}
