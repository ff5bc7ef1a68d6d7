"""One training run: Lightning around a model, history, and what Ctrl-C leaves behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, cast

import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from scvi.train import TrainRunner

from sims_tools._log import logger as log
from sims_tools._log import quiet_libraries
from sims_tools._validate import check_count
from sims_tools.models._callbacks import KeepWeights
from sims_tools.models._checkpoint import Checkpoint
from sims_tools.models._history import HistoryLogger, join_histories
from sims_tools.models._plan import ClassificationPlan
from sims_tools.models._processes import SameTraining, shared_by
from sims_tools.models._progress import EpochBar
from sims_tools.models._random import SeedOfEpoch, seeded
from sims_tools.models._settings import TrainingSettings
from sims_tools.models._training_identity import identify


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
        checkpoint = next((each for each in self.trainer.callbacks if isinstance(each, Checkpoint)), None)
        try:
            with signals_restored():
                self.trainer.fit(self.training_plan, self.data_splitter)
            if checkpoint is not None and checkpoint.is_finished:
                checkpoint.finish(self.model.module)
        except (KeyboardInterrupt, SystemExit):  # lightning turns the first into the second
            if not keep.interrupted:
                raise
            if keep.epochs_done == 0:
                raise KeyboardInterrupt("Training was interrupted before its first epoch was done.") from None
            self.model.was_interrupted_ = True
            log.warning("Training was interrupted after %d epochs; the model so far is kept.", keep.epochs_done)
        earlier, n_before = self.model.history_, len(self.model.history_by_epoch.get("epoch", ()))
        self.model.history_ = join_histories(earlier, self.trainer.logger.history, n_before)
        restored = keep.best_epoch if keep.restore else None
        self.model.best_epoch_ = None if restored is None else n_before + restored
        self.model.train_indices = self.data_splitter.train_idx
        self.model.validation_indices = self.data_splitter.val_idx
        self.model.test_indices = self.data_splitter.test_idx
        self.model.module.eval()
        self.model.is_trained_ = True
        self.model.to_device(self.trainer.strategy.root_device)
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
    **run: Any,
) -> None:
    """Train a model on minibatches of its cells, by its seed.

    Parameters
    ----------
    model
        Built for the features of the cells.
    load
        Called with `batch_size` and `seed`, makes the data module, such as
        :class:`~sims_tools.data._splitter.CellSplitter`.
    settings
        Of training.
    threads
        Of the size of a minibatch and the number of features, what limits threads meanwhile.
    **run
        As :func:`run_training` takes it.
    """
    seed = model.params_["random_state"]
    batch_size = cast("int", settings.batch_size)
    splitter = load(batch_size=batch_size, seed=seed)
    with seeded(seed), threads(batch_size, len(model.genes_)), closing(splitter):
        run_training(model, splitter, settings, **run)


def run_training(
    model: Any,
    splitter: Any,
    settings: TrainingSettings,
    *,
    accelerator: str,
    devices: int | str | list[int],
    num_nodes: int,
    strategy: str | Any,
    precision: str | int,
    logger: Logger | Sequence[Logger] | None,
    callbacks: Callback | Sequence[Callback],
    progress_bar: bool,
    checkpoint: str | Path | None,
    checkpoint_every: int,
    plan: type[ClassificationPlan] = ClassificationPlan,
) -> None:
    """Train `model.module` on the cells of `splitter`; the model keeps history, weights and settings."""
    check_count("checkpoint_every", checkpoint_every)
    strategy = shared_by(strategy, devices, num_nodes)
    identity = cache(lambda: identify(model, splitter, settings, precision))
    history, keep = HistoryLogger(), KeepWeights.by(settings)
    ours: list[Callback] = [
        keep,
        SeedOfEpoch(model.params_["random_state"]),
        SameTraining(identity, cast("int", settings.batch_size)),
    ]
    if checkpoint is not None:
        ours.insert(0, Checkpoint(checkpoint, checkpoint_every, identity(), keep, history))
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
            num_nodes=num_nodes,
            strategy=strategy,
            precision=precision,
            logger=[history, *loggers],
            callbacks=[*ours, *([EpochBar()] if progress_bar else []), *others],
            enable_progress_bar=False,
            gradient_clip_val=settings.gradient_clip or None,
            check_val_every_n_epoch=1,
            limit_val_batches=1.0 if splitter.n_val else 0,
            log_every_n_steps=1,
            benchmark=False,
            inference_mode=False,
            use_distributed_sampler=False,
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
