"""SimplePollock, written from its tutorial (Storrs, "Deep learning explainer: a simple single cell classification").

scanpy's steps, torch's layers and a loop written out, so that what the package does can be compared with it.
"""

from __future__ import annotations

import numpy as np
import scanpy as sc
import torch
from benchmarks.accuracy.cells import Cells, lay_out
from torch.nn import functional as F

from .base import Method

HIDDEN, DROPOUT = (1028, 256, 128), 0.2
EPOCHS, BATCH_SIZE, LEARNING_RATE = 10, 64, 1e-4
FEWEST_GENES, FEWEST_CELLS, MOST_GENES, MOST_MITOCHONDRIAL = 200, 3, 2500, 5


class SimplePollock(Method):
    """Cells filtered, genes as z-scores; mean and deviation are those of the training cells."""

    needs_counts = True
    softmax_twice = False
    """The tutorial's mistake: cross-entropy, which takes a softmax, of what a softmax has given."""

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        adata = cells.adata()
        adata.obs["label"] = labels
        adata = filtered(adata)
        self.genes = adata.var_names.to_numpy()
        x = cells_to_logs(cells, self.genes)[adata.obs_names.str.removeprefix("cell ").astype(int)]
        self.mean, deviation = x.mean(0), x.std(0, ddof=1)
        self.deviation = np.where(deviation > 0, deviation, 1)
        classes, codes = np.unique(adata.obs["label"].astype(str), return_inverse=True)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = network(len(self.genes), len(classes))
            self._train(torch.from_numpy(self._scaled(x)), torch.from_numpy(codes))
        return classes

    def _train(self, inputs: torch.Tensor, targets: torch.Tensor) -> None:
        optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE)
        self.network.train()
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(inputs)).split(BATCH_SIZE):
                optimizer.zero_grad()
                found = self.network(inputs[rows])
                F.cross_entropy(found.softmax(1) if self.softmax_twice else found, targets[rows]).backward()
                optimizer.step()
        self.network.eval()

    def predict_proba(self, cells: Cells) -> np.ndarray:
        x = self._scaled(cells_to_logs(cells, self.genes))
        with torch.inference_mode():
            return self.network(torch.from_numpy(x)).softmax(1).numpy()

    def _scaled(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.mean) / self.deviation).astype(np.float32)


class AsWritten(SimplePollock):
    """With its mistake."""

    softmax_twice = True


def filtered(adata: sc.AnnData) -> sc.AnnData:
    """The cells and genes that the tutorial keeps."""
    sc.pp.filter_cells(adata, min_genes=FEWEST_GENES)
    sc.pp.filter_genes(adata, min_cells=FEWEST_CELLS)
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=None, log1p=False, inplace=True)
    return adata[(adata.obs["n_genes_by_counts"] < MOST_GENES) & (adata.obs["pct_counts_mt"] < MOST_MITOCHONDRIAL)]


def cells_to_logs(cells: Cells, genes: np.ndarray) -> np.ndarray:
    """(n, len(genes)) log1p CP10K."""
    return lay_out(cells.log1p(), cells.genes, genes).toarray().astype(np.float64)


def network(n_genes: int, n_classes: int) -> torch.nn.Sequential:
    """1028, 256 and 128 units with ReLU, dropout after the first two."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in zip((n_genes, *HIDDEN), HIDDEN, strict=False):
        layers += [torch.nn.Linear(n_in, n_out), torch.nn.ReLU(), torch.nn.Dropout(DROPOUT)]
    return torch.nn.Sequential(*layers[:-1], torch.nn.Linear(HIDDEN[-1], n_classes))
