"""One run: a method, fitted to the training cells of a fold, calls its test cells and is scored."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from sims_tools.models._threads import limited_threads
from sims_tools.studies._cells import StudyCells
from sims_tools.studies._folds import Fold
from sims_tools.studies._method import Method
from sims_tools.studies._scores import Row, score_groups

Result = dict[str, list[Row]]
"""Rows of the tables "scores", "per_class" and "history": text and numbers only."""


@dataclass(frozen=True)
class Run:
    """One method on one fold."""

    method: Method
    fold: Fold

    @property
    def label(self) -> str:
        """What it is called in files and messages."""
        return f"{self.method.title}, {self.fold.name}"

    @property
    def facts(self) -> Row:
        """What its rows in every table begin with."""
        fold = self.fold
        return {"model": self.method.title, "fold": fold.name, "repeat": fold.repeat, "fraction": fold.fraction}


def execute(run: Run, cells: StudyCells, n_threads: int) -> Result:
    """Fit, call, score; on at most so many threads."""
    fold, method = run.fold, run.method
    try:
        with limited_threads(method.threads(n_threads)):
            method.warm_up()
            start = perf_counter()
            fitted = method.fit(cells, fold.train, fold.seed)
            trained = perf_counter()
            prediction = fitted.predict(cells, fold.test)
            done = perf_counter()
    except Exception as error:
        error.add_note(f"This was {run.label!r}; nothing is written to `adata`, finished runs are in the checkpoint.")
        raise
    scores, per_class = score_groups(
        prediction, fitted.classes, cells.names(fold.test), fold.groups, gives_probabilities=method.gives_probabilities
    )
    sizes = {"n_train": len(fold.train), "n_classes": len(fitted.classes)}
    seconds = {"train_seconds": trained - start, "predict_seconds": done - trained}
    return {
        "scores": [{**run.facts, **sizes, **row, **seconds} for row in scores],
        "per_class": [{**run.facts, **row} for row in per_class],
        "history": [{**run.facts, **row} for row in _epochs(fitted.history)],
    }


def _epochs(history: dict[str, np.ndarray]) -> list[Row]:
    """One row for each epoch."""
    columns = [values.tolist() for values in history.values()]
    return [dict(zip(history, values, strict=True)) for values in zip(*columns, strict=True)]


def execute_numbered(number: int, run: Run, cells: StudyCells, n_threads: int) -> tuple[int, Any]:
    """:func:`execute`, for runs that do not end in the order in which they began."""
    return number, execute(run, cells, n_threads)
