"""scsims v4 as its users run it, written anew from its documented behaviour.

Its network is pytorch-tabnet's with the identity product. Cells are made dense one by one, stacked to minibatches of
32 and each divided by its Euclidean norm; training is Adam at 0.01 with weight decay 0.01 on the cross-entropy and the
masks' entropy, with scores kept for each minibatch. Annotation with masks is two passes: `predict` (minibatches of 32)
and `explain` (of 64, with gradients recorded, masks of all steps gathered dense). Lightning is left out, in its favour.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from pytorch_tabnet.tab_network import TabNet
from scipy import sparse
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Accuracy, F1Score, MetricCollection, Precision, Recall, Specificity

from .timing import CLOCKS, Laps

TRAIN_BATCH, PREDICT_BATCH, EXPLAIN_BATCH = 32, 32, 64
SPARSITY, TEMPERATURE, TOP = 1e-3, 1.5, 3


class ScsimsLoop:
    """A classifier and its loops over the rows of a matrix.

    Parameters
    ----------
    matrix
        (n_cells, n_genes) log1p CSR.
    codes
        (n_cells,) classes.
    width
        n_d and n_a: 8 ("tall", the default) or 64 ("venti").
    clock
        "wall" or "cpu".
    """

    def __init__(self, matrix: sparse.csr_matrix, codes: np.ndarray, *, width: int, clock: str = "wall") -> None:
        self.matrix, self.codes, self.now = matrix, codes, CLOCKS[clock]
        n_genes, n_classes = matrix.shape[1], int(codes.max()) + 1
        torch.manual_seed(0)
        self.network = TabNet(n_genes, n_classes, n_d=width, n_a=width, group_attention_matrix=torch.eye(n_genes))
        self.reducing = sparse.identity(n_genes, format="csc")  # "explain matrix": columns to features
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=0.01, weight_decay=0.01)
        task = {"task": "multiclass", "num_classes": n_classes}
        kinds = {"precision": Precision, "recall": Recall, "f1": F1Score, "specificity": Specificity}
        scores = {name: kind(average="macro", **task) for name, kind in kinds.items()}
        scores |= {f"{each}_accuracy": Accuracy(average=each, **task) for each in ("micro", "macro", "weighted")}
        self.scores = MetricCollection(scores)

    def batches(self, start: int, stop: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        for first in range(start, stop, size):
            chosen = range(first, min(first + size, stop))
            cells = [torch.from_numpy(np.asarray(self.matrix[i].todense()).squeeze()) for i in chosen]
            yield F.normalize(torch.stack(cells)), torch.tensor([int(self.codes[i]) for i in chosen])

    def train(self, n_cells: int) -> Laps:
        """Seconds per cell of training, loading included, over the first cells."""
        self.network.train()
        start = self.now()
        for x, y in self.batches(0, n_cells, TRAIN_BATCH):
            logits, entropy = self.network(x)
            loss = F.cross_entropy(logits, y) - SPARSITY * entropy
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.scores.update(logits.detach().softmax(dim=1), y)
        return {"all": (self.now() - start) / n_cells}

    def annotate(self, n_cells: int) -> Laps:
        """Seconds per cell of `predict` and then `explain` over the first cells."""
        self.network.eval()
        start = self.now()
        with torch.no_grad():
            for x, _ in self.batches(0, n_cells, PREDICT_BATCH):
                top, _ = (self.network(x)[0] / TEMPERATURE).topk(TOP, dim=1)
                top.softmax(dim=1)
        predicted = self.now()
        explained, by_step = [], {}
        for x, _ in self.batches(0, n_cells, EXPLAIN_BATCH):
            aggregated, masks = self.network.forward_masks(x)
            explained.append(aggregated.detach().numpy() @ self.reducing)
            for step, mask in masks.items():
                dense = mask.detach().numpy() @ self.reducing
                by_step[step] = np.vstack([by_step[step], dense]) if step in by_step else dense
        np.vstack(explained)
        stop = self.now()
        return {"all": (stop - start) / n_cells, "predict": (predicted - start) / n_cells}
