"""Linear support vector machine."""

from __future__ import annotations

import numpy as np
from benchmarks.accuracy.cells import Cells
from scipy.special import softmax
from sklearn.svm import LinearSVC

from .base import Method


class LinearSVM(Method):
    """LinearSVC at its defaults on log1p CP10K of all genes; a softmax of its margins stands in for probabilities."""

    calibrated = False

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        self.genes = cells.genes
        self.model = LinearSVC(random_state=self.seed).fit(cells.log1p(), labels)
        return self.model.classes_

    def predict_proba(self, cells: Cells) -> np.ndarray:
        margins = self.model.decision_function(cells.features(self.genes))
        if margins.ndim == 1:
            margins = np.column_stack([-margins, margins])
        return softmax(margins, axis=1)
