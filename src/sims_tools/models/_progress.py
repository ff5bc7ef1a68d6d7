"""A progress bar over epochs, on the standard error stream or as a notebook widget."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as lightning
from lightning.pytorch.callbacks import Callback
from tqdm.auto import tqdm

_SHOWN = {"train_loss": "loss", "validation_loss": "validation loss", "accuracy_validation": "validation accuracy"}


class EpochBar(Callback):
    """Counts epochs and shows the losses and the validation accuracy of the last one."""

    def __init__(self) -> None:
        self._bar: Any = None

    def on_train_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Open the bar."""
        self._bar = tqdm(
            total=trainer.max_epochs,
            initial=trainer.current_epoch,
            unit="epoch",
            desc="train",
            disable=not trainer.is_global_zero,
        )

    def on_train_epoch_end(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Count one."""
        metrics = trainer.callback_metrics
        told = {text: f"{float(metrics[name]):.3f}" for name, text in _SHOWN.items() if name in metrics}
        self._bar.set_postfix(told, refresh=False)
        self._bar.update(1)

    def on_train_end(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Close the bar."""
        self._bar.close()

    def on_exception(self, trainer: lightning.Trainer, plan: Any, exception: BaseException) -> None:
        """Close the bar of a run that was cut off."""
        if self._bar is not None:
            self._bar.close()
