"""CellTypist."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import celltypist
import numpy as np
from benchmarks.accuracy.cells import Cells
from sklearn.linear_model import LogisticRegression

from .base import Method

logging.getLogger("celltypist").setLevel(logging.ERROR)


class CellTypist(Method):
    """`celltypist.train` and `celltypist.annotate` as they come: one-pass training on log1p CP10K of all genes.

    Its scores, one sigmoid per class, are brought to sum to 1.
    """

    seeded = False

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        with one_against_rest():
            adata = cells.adata(logged=True)
            check = cells.kind == "counts"
            self.model = celltypist.train(adata, labels=labels, n_jobs=self.threads, check_expression=check)
        return self.model.classifier.classes_

    def predict_proba(self, cells: Cells) -> np.ndarray:
        adata = cells.adata(logged=True)
        return celltypist.annotate(adata, model=self.model).probability_matrix.to_numpy()


class _OneAgainstRest(LogisticRegression):
    """One logistic regression per class, side by side: what `multi_class="ovr"` did before scikit-learn dropped it."""

    def fit(self, X: Any, y: np.ndarray) -> LogisticRegression:
        names = np.unique(y)
        of_class = [_plain(self).fit(X, y == name) for name in (names if len(names) > 2 else names[1:])]
        self.coef_ = np.vstack([each.coef_ for each in of_class])
        self.intercept_ = np.concatenate([each.intercept_ for each in of_class])
        self.classes_, self.n_features_in_ = names, self.coef_.shape[1]
        return self


def _plain(model: LogisticRegression) -> LogisticRegression:
    return LogisticRegression(C=model.C, solver=model.solver, max_iter=model.max_iter)


@contextmanager
def one_against_rest() -> Iterator[None]:
    """Let `celltypist.train` ask for `multi_class`, which scikit-learn does not know any more from version 1.8 on."""
    module: Any = importlib.import_module("celltypist.train")
    original: Callable[..., Any] = module.LogisticRegression
    if "multi_class" not in original().get_params():
        module.LogisticRegression = lambda *, multi_class, **options: _OneAgainstRest(**options)
    try:
        yield
    finally:
        module.LogisticRegression = original
