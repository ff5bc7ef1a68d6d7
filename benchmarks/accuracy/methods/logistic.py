"""Logistic regression."""

from __future__ import annotations

import numpy as np
from benchmarks.accuracy.cells import Cells
from sklearn.linear_model import LogisticRegression

from .base import Method


class LogisticRegressionAllGenes(Method):
    """scikit-learn's with C = 1 on log1p CP10K of all genes, neither scaled nor chosen: the yardstick."""

    seeded = False

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        self.genes = cells.genes
        self.model = LogisticRegression(C=1.0, max_iter=1000).fit(cells.log1p(), labels)
        return self.model.classes_

    def predict_proba(self, cells: Cells) -> np.ndarray:
        return self.model.predict_proba(cells.features(self.genes))
