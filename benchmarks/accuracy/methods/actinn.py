"""ACTINN's network, written from its paper (Ma and Pellegrini 2020, Bioinformatics 36:533)."""

from __future__ import annotations

import numpy as np
import torch
from benchmarks.accuracy.cells import COUNTS, Cells, lay_out
from scipy import sparse

from .base import Method

HIDDEN = (100, 50, 25)
EPOCHS, BATCH_SIZE = 50, 128
LEARNING_RATE, DECAY, DECAY_STEPS = 1e-4, 0.95, 1000
PENALTY = 0.005
OUTLYING = 1
"""Percentiles of genes dropped at either end: by expression, then by coefficient of variation."""


class ACTINN(Method):
    """Three hidden layers on log2(1 + CP10K) of the genes its filters leave; the filters see training cells only."""

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        classes, codes = np.unique(labels, return_inverse=True)
        self.genes = usual_genes(cells)
        inputs, targets = torch.from_numpy(self._inputs(cells)), torch.from_numpy(codes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = network(inputs.shape[1], len(classes))
            train(self.network, inputs, targets)
        return classes

    def predict_proba(self, cells: Cells) -> np.ndarray:
        with torch.inference_mode():
            return self.network(torch.from_numpy(self._inputs(cells))).softmax(1).numpy()

    def _inputs(self, cells: Cells) -> np.ndarray:
        """(n, p) logarithms to base 2."""
        dense = lay_out(cells.log1p(), cells.genes, self.genes).toarray()
        return dense / np.float32(np.log(2)) if cells.kind == COUNTS else dense


def usual_genes(cells: Cells) -> np.ndarray:
    """Genes of neither extreme expression nor, of those, extreme coefficient of variation."""
    logged = cells.log1p()
    linear = sparse.csr_matrix((np.expm1(logged.data), logged.indices, logged.indptr), logged.shape, dtype=np.float64)
    mean = np.asarray(linear.mean(0)).ravel()
    deviation = np.sqrt(np.maximum(np.asarray(linear.power(2).mean(0)).ravel() - mean**2, 0))
    kept = np.flatnonzero(_usual(mean) & (mean > 0))
    kept = kept[_usual(deviation[kept] / mean[kept])]
    return cells.genes[kept]


def _usual(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, [OUTLYING, 100 - OUTLYING])
    return (values >= low) & (values <= high)


def network(n_genes: int, n_classes: int) -> torch.nn.Sequential:
    """100, 50 and 25 units with ReLU; Xavier's initial weights."""
    layers: list[torch.nn.Module] = []
    for n_in, n_out in zip((n_genes, *HIDDEN), (*HIDDEN, n_classes), strict=True):
        linear = torch.nn.Linear(n_in, n_out)
        torch.nn.init.xavier_normal_(linear.weight)
        torch.nn.init.zeros_(linear.bias)
        layers += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def train(model: torch.nn.Sequential, inputs: torch.Tensor, targets: torch.Tensor) -> None:
    """Adam with a rate that falls in steps, cross-entropy and a penalty on the squares of the weights."""
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, DECAY_STEPS, DECAY)
    weights = [layer.weight for layer in model if isinstance(layer, torch.nn.Linear)]
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(inputs)).split(BATCH_SIZE):
            optimizer.zero_grad()
            penalty = PENALTY * sum(weight.square().sum() for weight in weights) / 2
            (torch.nn.functional.cross_entropy(model(inputs[rows]), targets[rows]) + penalty).backward()
            optimizer.step()
            schedule.step()
