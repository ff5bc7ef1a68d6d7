"""scANVI."""

from __future__ import annotations

import math
from logging import ERROR

import numpy as np
import scvi
from benchmarks.accuracy.cells import Cells, lay_out, most_variable

from .base import N_GENES, Method

NOT_A_LABEL = "not labelled"
EPOCHS, EPOCHS_FALL_AT = 400, 20_000
"""Heuristic of scvi-tools: so many epochs up to so many cells, fewer in proportion beyond."""
MOST_STEPS = 10_000
"""Minibatches of pretraining; the heuristic is above this from about 3,500 cells on."""
BATCH_SIZE, TRAINED = 128, 0.9


class ScANVI(Method):
    """SCVI, then SCANVI from it, at their defaults on counts of the 2,000 most variable genes.

    Epochs are by the heuristic of scvi-tools, those of SCVI capped at 10,000 minibatches. The query is predicted with
    the model of the reference alone: neither trained on it nor fine-tuned to it.
    """

    needs_counts = True

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        self.genes = most_variable(cells, N_GENES)
        adata = cells.only(np.isin(cells.genes, self.genes)).adata()
        self.genes = adata.var_names.to_numpy().astype(str)
        adata.obs["labels"] = labels
        scvi.settings.seed, scvi.settings.num_threads, scvi.settings.verbosity = self.seed, self.threads, ERROR
        options = {"accelerator": "cpu", "enable_progress_bar": False, "batch_size": batch_size(len(cells))}
        scvi.model.SCVI.setup_anndata(adata, labels_key="labels")
        pretrained = scvi.model.SCVI(adata)
        pretrained.train(max_epochs=epochs(len(cells)), **options)
        self.model = scvi.model.SCANVI.from_scvi_model(pretrained, NOT_A_LABEL, labels_key="labels", adata=adata)
        self.model.train(**options)
        return np.unique(labels)

    def predict_proba(self, cells: Cells) -> np.ndarray:
        query = Cells(lay_out(cells.matrix, cells.genes, self.genes), self.genes, cells.kind).adata()
        query.obs["labels"] = NOT_A_LABEL
        prob = self.model.predict(query, soft=True)
        return prob[sorted(prob.columns)].to_numpy()


def epochs(n_cells: int) -> int:
    """Of pretraining."""
    steps = math.ceil(n_cells * TRAINED / BATCH_SIZE)
    heuristic = min(EPOCHS, round(EPOCHS * EPOCHS_FALL_AT / n_cells))
    return max(1, min(heuristic, MOST_STEPS // steps))


def batch_size(n_cells: int) -> int:
    """The default, or a little less where the last minibatch would have too few cells for batch normalisation."""
    n_trained = math.ceil(n_cells * TRAINED)
    return next(size for size in range(BATCH_SIZE, 0, -1) if not 0 < n_trained % size < 3)
