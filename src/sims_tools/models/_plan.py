"""scvi-tools' training plan for classifiers: epoch-level scores, our optimisers and schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput
from scvi.train import TrainingPlan
from torch import Tensor
from torchmetrics.classification import MulticlassConfusionMatrix

from sims_tools.models._metrics import scores_from_confusion
from sims_tools.models._settings import TrainingSettings
from sims_tools.nn import ThreadedAdam, ThreadedAdamW

LOSS = {"train": "train_loss", "validation": "validation_loss"}
"""Logged names of the losses; a score is logged as `<score>_<mode>`."""


class EpochMeans:
    """Means over the cells of an epoch, of what each minibatch gives; logging each minibatch takes far longer."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._n_obs: dict[str, int] = {}

    def add(self, name: str, value: Tensor, n_obs: int) -> None:
        """Take in the mean of one minibatch of so many cells."""
        value = torch.as_tensor(value).detach() * n_obs
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._n_obs[name] = self._n_obs.get(name, 0) + n_obs

    def take(self, gather: Callable[[Tensor], Any] | None = None) -> dict[str, Tensor]:
        """The means, and begin anew.

        Parameters
        ----------
        gather
            Puts the tensors of all processes, which are alike in shape, below each other: the means are over all
            cells, those of other processes included.
        """
        sums, n_obs = self._sums, self._n_obs
        self._sums, self._n_obs = {}, {}
        if gather is None or not sums:
            return {name: total / n_obs[name] for name, total in sums.items()}
        mine = [
            *(each.double() for each in sums.values()),
            *(each.new_tensor(n_obs[name], dtype=torch.float64) for name, each in sums.items()),
        ]
        totals, counts = gather(torch.stack(mine)).sum(0).chunk(2)
        return dict(zip(sums, totals / counts, strict=True))


def count_calls(n_labels: int) -> MulticlassConfusionMatrix:
    """Counts classes by calls, on this process alone: it may be the only one of several that trains."""
    return MulticlassConfusionMatrix(n_labels, validate_args=False, sync_on_compute=False)


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
        self._means = {mode: EpochMeans() for mode in LOSS}

    def initialize_train_metrics(self) -> None:
        """Confusion matrix of the training cells of one epoch."""
        self.train_metrics = count_calls(self._n_labels)

    def initialize_val_metrics(self) -> None:
        """Confusion matrix of the validation cells of one epoch."""
        self.val_metrics = count_calls(self._n_labels)

    def on_train_start(self) -> None:
        """Reckon over how many steps masks narrow."""
        self._narrowing_steps = self.settings.narrowing * float(self.trainer.estimated_stepping_batches)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Let masks hold fewer features from step to step."""
        if (narrow := getattr(self.module.network, "narrow", None)) is not None:
            steps = self._narrowing_steps
            narrow(min(1.0, self.trainer.global_step / steps) if steps > 0 else 1.0)

    def on_train_epoch_start(self) -> None:
        """Let the network's penalty grow."""
        warmup = self.settings.penalty_warmup * self.trainer.max_epochs
        self.module.penalty_scale = min(1.0, self.current_epoch / warmup) if warmup > 0 else 1.0

    def transfer_batch_to_device(self, batch: Any, device: torch.device, dataloader_idx: int) -> Any:
        """What is on the CPU may stay as it is; to look through it costs as much as a small layer."""
        if device.type == "cpu":
            return batch
        return super().transfer_batch_to_device(batch, device, dataloader_idx)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        """Loss of one minibatch."""
        output = self._step(batch, "train")
        return output.loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Loss and calls of one minibatch of validation cells."""
        self._step(batch, "validation")

    def _step(self, batch: dict[str, Tensor], mode: str) -> LossOutput:
        _, _, output = self.forward(batch, loss_kwargs={})
        for name, value in {
            LOSS[mode]: output.loss,
            **{f"{k}_{mode}": v for k, v in output.extra_metrics.items()},
        }.items():
            self._means[mode].add(name, value, output.n_obs_minibatch)
        self._count_calls(output, self.train_metrics if mode == "train" else self.val_metrics)
        return output

    def _count_calls(self, output: LossOutput, metrics: MulticlassConfusionMatrix) -> None:
        """Take a minibatch into the confusion matrix."""
        metrics.update(output.logits.detach(), output.true_labels)

    def on_train_epoch_end(self) -> None:
        """Log loss and scores of the training cells."""
        self._log_epoch(self.train_metrics, "train")

    def on_validation_epoch_end(self) -> None:
        """Log loss and scores of the validation cells."""
        self._log_epoch(self.val_metrics, "validation")

    def _log_epoch(self, metrics: MulticlassConfusionMatrix, mode: str) -> None:
        for name, value in self._means[mode].take(self._gather).items():
            self.log(name, value.float(), on_step=False, on_epoch=True, prog_bar=name == LOSS[mode])
        self._log_scores(metrics, mode)

    @property
    def _gather(self) -> Callable[[Tensor], Any] | None:
        """Puts the tensors of all processes below each other; None where there is one."""
        return self.all_gather if self.trainer.world_size > 1 else None

    def _log_scores(self, metrics: MulticlassConfusionMatrix, mode: str) -> None:
        """Log what the confusion matrix of the epoch says."""
        table = metrics.compute()
        scores = scores_from_confusion(table if self._gather is None else self._gather(table).sum(0))
        self.log_dict({f"{name}_{mode}": value.float() for name, value in scores.items()}, on_step=False, on_epoch=True)
        metrics.reset()

    def configure_optimizers(self) -> dict[str, Any]:
        """Optimiser and schedule as the settings say."""
        settings = self.settings
        parameters = [each for each in self.module.parameters() if each.requires_grad]
        creator = ThreadedAdamW if settings.optimizer == "AdamW" else ThreadedAdam
        optimizer = creator(
            parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=self._may_fuse(parameters)
        )
        scheduler = self._scheduler(optimizer)
        return {"optimizer": optimizer} if scheduler is None else {"optimizer": optimizer, "lr_scheduler": scheduler}

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Let the optimiser clip the norm while it goes over the gradients, where nothing else scales them."""
        own = getattr(optimizer, "optimizer", optimizer)
        if gradient_clip_val and isinstance(own, ThreadedAdam | ThreadedAdamW) and not self._mixed:
            own.clip(float(gradient_clip_val))
        else:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)

    @property
    def _mixed(self) -> bool:
        return "mixed" in str(self.trainer.precision)

    def _may_fuse(self, parameters: list[Tensor]) -> bool:
        """Whether the optimiser may take all weights in one pass; Lightning cannot clip its gradients if mixed."""
        known = all(each.device.type in ("cpu", "cuda") and each.is_floating_point() for each in parameters)
        return known and not self._mixed

    def _scheduler(self, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        settings, schedules = self.settings, torch.optim.lr_scheduler
        if settings.schedule == "one_cycle":
            total = max(int(self.trainer.estimated_stepping_batches), 2)
            return {
                "scheduler": schedules.OneCycleLR(optimizer, settings.learning_rate, total_steps=total),
                "interval": "step",
            }
        if settings.schedule == "steps":
            return {
                "scheduler": schedules.StepLR(optimizer, settings.lr_steps, settings.lr_factor),
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
