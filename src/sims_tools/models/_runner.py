"""One training run: Lightning around a model, history, and what Ctrl-C leaves behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from scvi.model._utils import use_distributed_sampler
from scvi.train import TrainRunner
from scvi.train._logger import SimpleLogger

from sims_tools._log import logger as log
from sims_tools._log import quiet_libraries
from sims_tools.models._callbacks import KeepWeights
from sims_tools.models._plan import ClassificationPlan
from sims_tools.models._progress import EpochBar
from sims_tools.models._random import seeded
from sims_tools.models._settings import TrainingSettings

History = dict[str, pd.DataFrame]
"""A one-column table by epoch for each logged quantity, as scvi-tools keeps it."""


class HistoryLogger(SimpleLogger):
    """scvi-tools' history, leaving the numbers whole for the loggers after it."""

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        """Record a copy: the parent takes entries out of what it is given."""
        super().log_metrics(dict(metrics), step)


class ClassifierRunner(TrainRunner):
    """Runs a training plan; an interrupted run ends like a finished one if it finished an epoch."""

    def __call__(self) -> None:
        """Train.

        Raises
        ------
        KeyboardInterrupt
            Interrupted before the first epoch was done.
        """
        keep = next(each for each in self.trainer.callbacks if isinstance(each, KeepWeights))
        try:
            with signals_restored():
                self.trainer.fit(self.training_plan, self.data_splitter)
        except (KeyboardInterrupt, SystemExit):  # lightning turns the first into the second
            if not keep.interrupted:
                raise
            if keep.epochs_done == 0:
                raise KeyboardInterrupt("Training was interrupted before its first epoch was done.") from None
            self.model.was_interrupted_ = True
            log.warning("Training was interrupted after %d epochs; the model so far is kept.", keep.epochs_done)
        earlier, n_before = self.model.history_, len(self.model.history_by_epoch.get("epoch", ()))
        logged = self.trainer.logger.history if self.trainer.is_global_zero else {}  # only the first process logs
        self.model.history_ = join_histories(earlier, logged, n_before)
        restored = keep.best_epoch if keep.restore else None
        self.model.best_epoch_ = None if restored is None else n_before + restored
        self.model.train_indices = self.data_splitter.train_idx
        self.model.validation_indices = self.data_splitter.val_idx
        self.model.test_indices = self.data_splitter.test_idx
        self.model.module.eval()
        self.model.is_trained_ = True
        self.model.to_device(self.device)
        self.model.trainer = self.trainer


@contextmanager
def signals_restored() -> Iterator[None]:
    """Lightning leaves Ctrl-C switched off after an interrupt; put the handler back."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread() and handler is not None:
            signal.signal(signal.SIGINT, handler)


def train_on(
    model: Any,
    load: Callable[..., Any],
    settings: TrainingSettings,
    *,
    threads: Callable[[int, int], AbstractContextManager[None]],
    strategy: str | Any,
    **run: Any,
) -> None:
    """Train a model on minibatches of its cells, by its seed.

    Parameters
    ----------
    model
        Built for the features of the cells.
    load
        Called with `batch_size`, `distributed` and `seed`, makes the data module, such as
        :class:`~sims_tools.data._splitter.CellSplitter`.
    settings
        Of training.
    threads
        Of the size of a minibatch and the number of features, what limits threads meanwhile.
    strategy
        Lightning's.
    **run
        As :func:`run_training` takes it.
    """
    seed = model.params_["random_state"]
    batch_size = cast("int", settings.batch_size)
    splitter = load(batch_size=batch_size, distributed=use_distributed_sampler(strategy), seed=seed)
    with seeded(seed), threads(batch_size, len(model.genes_)), closing(splitter):
        run_training(model, splitter, settings, strategy=strategy, **run)


def run_training(
    model: Any,
    splitter: Any,
    settings: TrainingSettings,
    *,
    accelerator: str,
    devices: int | str | list[int],
    strategy: str | Any,
    precision: str | int,
    logger: Logger | Sequence[Logger] | None,
    callbacks: Callback | Sequence[Callback],
    progress_bar: bool,
    plan: type[ClassificationPlan] = ClassificationPlan,
    **trainer_options: Any,
) -> None:
    """Train `model.module` on the cells of `splitter`; the model keeps history, weights and settings."""
    monitor, mode = settings.monitored
    keep = KeepWeights(
        monitor,
        mode,
        patience=settings.patience,
        restore=settings.restore_best,
        weight_average=settings.weight_average,
    )
    others = [callbacks] if isinstance(callbacks, Callback) else list(callbacks)
    loggers = [logger] if isinstance(logger, Logger) else list(logger or ())
    with quiet_libraries():
        ClassifierRunner(
            model,
            training_plan=plan(model.module, settings),
            data_splitter=splitter,
            max_epochs=settings.max_epochs,
            accelerator=accelerator,
            devices=devices,
            strategy=strategy,
            precision=precision,
            logger=[HistoryLogger(), *loggers],
            callbacks=[keep, *([EpochBar()] if progress_bar else []), *others],
            enable_progress_bar=False,
            gradient_clip_val=settings.gradient_clip or None,
            check_val_every_n_epoch=1,
            limit_val_batches=1.0 if splitter.n_val else 0,
            log_every_n_steps=1,
            benchmark=False,
            inference_mode=False,
            **trainer_options,
        )()
    _check_finite(model)
    model.training_ = asdict(settings)


def _check_finite(model: Any) -> None:
    """Raise FloatingPointError, and forget that the model is trained, where a weight is NaN or infinite."""
    if not all(bool(torch.isfinite(each).all()) for each in model.module.parameters()):
        model.is_trained_ = False
        raise FloatingPointError(
            "Training diverged: weights became NaN or infinite. Lower `learning_rate`, or use `gradient_clip`."
        )


def join_histories(earlier: History | None, later: History, n_before: int) -> History:
    """A history and that of a training that went on from there, its epochs counted on.

    Parameters
    ----------
    earlier, later
        A one-column DataFrame by epoch for each logged quantity.
    n_before
        Epochs of the earlier history.
    """
    joined = dict(earlier or {})
    for name, frame in later.items():
        if frame.index.name == "epoch":
            moved = frame.set_axis(pd.Index(frame.index + n_before, name="epoch"))
            joined[name] = pd.concat([joined[name], moved]) if name in joined else moved
    return joined


def history_arrays(history: History | None) -> dict[str, np.ndarray]:
    """A model's history as equally long float arrays, one value an epoch; NaN where an epoch has none.

    Parameters
    ----------
    history
        A one-column DataFrame by epoch for each logged quantity.
    """
    frames = history or {}
    if not frames:
        return {}
    epochs = np.unique(np.concatenate([frame.index.to_numpy(dtype=float) for frame in frames.values()]))
    arrays = {name: frame.iloc[:, 0].astype(float).reindex(epochs).to_numpy() for name, frame in frames.items()}
    return {"epoch": epochs, **arrays}
