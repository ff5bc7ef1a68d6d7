"""scvi-tools' training plan for classifiers: epoch-level scores, our optimisers and schedules."""

from __future__ import annotations

from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from scvi.train import TrainingPlan
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from sims_tools.models._metrics import scores_from_confusion
from sims_tools.models._settings import TrainingSettings

LOSS = {"train": "train_loss", "validation": "validation_loss"}
"""Logged names of the losses; a score is logged as `<score>_<mode>`."""


class ClassificationPlan(TrainingPlan):
    """Logs loss and scores of whole epochs, for training and validation cells.

    Parameters
    ----------
    module
        The classifier module.
    settings
        Optimiser and schedule.
    """

    def __init__(self, module: BaseModuleClass, settings: TrainingSettings) -> None:
        self._n_labels = module.n_labels
        super().__init__(module, lr=settings.learning_rate, weight_decay=settings.weight_decay, eps=1e-8)
        self.settings = settings

    def initialize_train_metrics(self) -> None:
        """Confusion matrix of the training cells of one epoch."""
        self.train_metrics = MulticlassConfusionMatrix(self._n_labels, validate_args=False)

    def initialize_val_metrics(self) -> None:
        """Confusion matrix of the validation cells of one epoch."""
        self.val_metrics = MulticlassConfusionMatrix(self._n_labels, validate_args=False)

    def on_train_epoch_start(self) -> None:
        """Let the network's penalty grow."""
        warmup = self.settings.penalty_warmup * self.trainer.max_epochs
        self.module.penalty_scale = min(1.0, self.current_epoch / warmup) if warmup > 0 else 1.0

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one minibatch."""
        output = self._step(batch, "train")
        return output.loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Loss and calls of one minibatch of validation cells."""
        self._step(batch, "validation")

    def _step(self, batch: dict[str, Tensor], mode: str) -> LossOutput:
        _, _, output = self.forward(batch, loss_kwargs={})
        options = {"on_step": False, "on_epoch": True, "batch_size": output.n_obs_minibatch}
        self.log(LOSS[mode], output.loss, prog_bar=True, sync_dist=self.use_sync_dist, **options)
        for name, value in output.extra_metrics.items():
            self.log(f"{name}_{mode}", value, sync_dist=self.use_sync_dist, **options)
        metrics = self.train_metrics if mode == "train" else self.val_metrics
        metrics.update(output.logits.detach(), output.true_labels)
        return output

    def on_train_epoch_end(self) -> None:
        """Log the scores of the training cells."""
        self._log_scores(self.train_metrics, "train")

    def on_validation_epoch_end(self) -> None:
        """Log the scores of the validation cells."""
        self._log_scores(self.val_metrics, "validation")

    def _log_scores(self, metrics: MulticlassConfusionMatrix, mode: str) -> None:
        scores = scores_from_confusion(metrics.compute())
        self.log_dict({f"{name}_{mode}": value.float() for name, value in scores.items()}, on_step=False, on_epoch=True)
        metrics.reset()

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimiser and schedule as the settings say."""
        settings = self.settings
        parameters = [each for each in self.module.parameters() if each.requires_grad]
        creator = torch.optim.AdamW if settings.optimizer == "AdamW" else torch.optim.Adam
        optimizer = creator(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=self._may_fuse(parameters)
        )
        scheduler = self._scheduler(optimizer)
        return {"optimizer": optimizer} if scheduler is None else {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _may_fuse(self, parameters: list[Tensor]) -> bool:
        """Whether the optimiser may take all weights in one pass; Lightning cannot clip its gradients if mixed."""
        known = all(each.device.type in ("cpu", "cuda") and each.is_floating_point() for each in parameters)
        return known and "mixed" not in str(self.trainer.precision)

    def _scheduler(self, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        settings, schedules = self.settings, torch.optim.lr_scheduler
        if settings.schedule == "one_cycle":
            total = max(int(self.trainer.estimated_stepping_batches), 2)
            return {
                "scheduler": schedules.OneCycleLR(optimizer, settings.learning_rate, total_steps=total),
                "interval": "step",
            }
        if settings.schedule == "exponential":
            return {"scheduler": schedules.ExponentialLR(optimizer, settings.lr_factor)}
        if settings.schedule == "plateau" and self._validates():
            plateau = schedules.ReduceLROnPlateau(optimizer, factor=settings.lr_factor, patience=settings.lr_patience)
            return {"scheduler": plateau, "monitor": LOSS["validation"]}
        return None

    def _validates(self) -> bool:
        datamodule = self.trainer.datamodule
        return datamodule is None or getattr(datamodule, "n_val", 1) > 0
