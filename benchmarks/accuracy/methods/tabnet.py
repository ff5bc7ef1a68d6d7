"""pytorch-tabnet."""

from __future__ import annotations

import numpy as np
from benchmarks.accuracy.cells import Cells, most_variable
from pytorch_tabnet.tab_model import TabNetClassifier

from .base import N_GENES, Method

BATCH_SIZE = 1024


class PytorchTabNet(Method):
    """TabNetClassifier at its defaults, 100 epochs, on log1p CP10K of the 2,000 most variable genes.

    Minibatches are of 1,024 cells, its default, or of all cells where there are fewer: it drops the last minibatch and
    would not train at all.
    """

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        self.genes = most_variable(cells, N_GENES)
        self.model = TabNetClassifier(seed=self.seed, verbose=0, device_name="cpu")
        inputs = cells.features(self.genes).toarray()
        self.model.fit(inputs, labels, batch_size=min(BATCH_SIZE, len(cells)))
        return self.model.classes_

    def predict_proba(self, cells: Cells) -> np.ndarray:
        return self.model.predict_proba(cells.features(self.genes).toarray())
