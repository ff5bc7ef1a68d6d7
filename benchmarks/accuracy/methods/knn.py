"""Nearest neighbours."""

from __future__ import annotations

import numpy as np
from benchmarks.accuracy.cells import Cells, most_variable
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline

from .base import N_GENES, Method

N_COMPONENTS, N_NEIGHBOURS = 50, 15


class NearestNeighbours(Method):
    """15 neighbours on 50 principal components of log1p CP10K of the 2,000 most variable genes, as in scanpy."""

    seeded = False

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        self.genes = most_variable(cells, N_GENES)
        n_components = min(N_COMPONENTS, len(cells) - 1, len(self.genes) - 1)
        pca = PCA(n_components, svd_solver="arpack", random_state=0)
        neighbours = KNeighborsClassifier(min(N_NEIGHBOURS, len(cells)), n_jobs=self.threads)
        self.model = make_pipeline(pca, neighbours).fit(cells.features(self.genes).toarray(), labels)
        return self.model.classes_

    def predict_proba(self, cells: Cells) -> np.ndarray:
        return self.model.predict_proba(cells.features(self.genes).toarray())
