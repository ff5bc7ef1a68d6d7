"""Training plan of the CITE-seq autoencoder: losses, and scores of its classifier where it has one."""

from __future__ import annotations

from typing import Any

from scvi.module.base import LossOutput
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from sims_tools.models._plan import ClassificationPlan, count_calls


class ReconstructionPlan(ClassificationPlan):
    """Logs losses of whole epochs, and scores over the cells that carry a label."""

    def initialize_train_metrics(self) -> None:
        """Confusion matrix of the training cells of one epoch; None without a classifier."""
        self.train_metrics = self._confusion()

    def initialize_val_metrics(self) -> None:
        """Confusion matrix of the validation cells of one epoch; None without a classifier."""
        self.val_metrics = self._confusion()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """The network has no masks that could narrow."""

    def _confusion(self) -> MulticlassConfusionMatrix | None:
        return count_calls(self._n_labels) if self._n_labels else None

    def _count_calls(self, output: LossOutput, metrics: MulticlassConfusionMatrix | None) -> None:
        if metrics is not None:
            labelled: Tensor = output.true_labels >= 0
            metrics.update(output.logits.detach()[labelled], output.true_labels[labelled])

    def _log_scores(self, metrics: MulticlassConfusionMatrix | None, mode: str) -> None:
        if metrics is not None:
            super()._log_scores(metrics, mode)
