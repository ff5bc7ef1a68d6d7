"""Gradient boosting."""

from __future__ import annotations

import numpy as np
from benchmarks.accuracy.cells import Cells, most_variable
from sklearn.ensemble import HistGradientBoostingClassifier

from .base import N_GENES, Method

LIMITS = {"max_bins": 63}
"""A tree for each class in each of its 100 rounds: a quarter of the default's bins keeps that practical."""


class GradientBoosting(Method):
    """HistGradientBoostingClassifier on log1p CP10K of the 2,000 most variable genes, its defaults but for bins.

    Without early stopping, which would hold cells out above 10,000 of them.
    """

    seeded = False

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        self.genes = most_variable(cells, N_GENES)
        model = HistGradientBoostingClassifier(early_stopping=False, random_state=self.seed, **LIMITS)
        self.model = model.fit(cells.features(self.genes).toarray(), labels)
        return self.model.classes_

    def predict_proba(self, cells: Cells) -> np.ndarray:
        return self.model.predict_proba(cells.features(self.genes).toarray())
