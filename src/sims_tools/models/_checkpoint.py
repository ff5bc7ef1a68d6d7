"""Training that can be killed: its state is kept between epochs, and the same call goes on from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from sims_tools._log import logger as log
from sims_tools.models._callbacks import KeepWeights
from sims_tools.models._history import HistoryLogger
from sims_tools.models._training_identity import Identity, differences
from sims_tools.models._training_state import (
    FILE,
    State,
    collect,
    put_back,
    read_state,
    write_state,
)


class Checkpoint(Callback):
    """Keeps the state of a training in a folder, after every so many epochs and at the end, and goes on from it.

    Minibatches and all that is drawn at random depend on the seed and the number of the epoch, so that no state of a
    generator has to be kept. Several processes have the same state; the first of them writes it.

    Parameters
    ----------
    folder
        Made where it does not exist.
    every
        Epochs from one writing to the next.
    identity
        Of the training.
    keep
        What decides on weights.
    history
        Of the training.

    Raises
    ------
    ValueError
        The folder holds another training, or one that cannot be read, or is a file.
    """

    def __init__(
        self, folder: str | Path, every: int, identity: Identity, keep: KeepWeights, history: HistoryLogger
    ) -> None:
        self._folder, self._every, self._identity = Path(folder), every, identity
        self._keep, self._history = keep, history
        self._found = read_state(self._folder)
        if self._found is not None and (differing := differences(self._found["identity"], identity)):
            raise ValueError(
                f"{str(self._folder / FILE)!r} holds another training; these differ: {differing}. Give another folder "
                "as `checkpoint`, or delete this file to train from the beginning."
            )
        self.epochs_found: int = 0 if self._found is None else self._found["epoch"]

    @property
    def is_finished(self) -> bool:
        """Whether the training in the folder had come to its end when it was found."""
        return self._found is not None and self._found["is_finished"]

    def setup(self, trainer: lightning.Trainer, plan: Any, stage: str) -> None:
        """Refuse to go on with other minibatches."""
        there = trainer.world_size if self._found is None else self._found["n_processes"]
        if there != trainer.world_size:
            raise ValueError(
                f"{str(self._folder / FILE)!r} holds a training on {there} processes, and here are "
                f"{trainer.world_size}. Train on {there}, give another folder as `checkpoint`, or delete this file."
            )

    def on_fit_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Do nothing more where nothing is left to do; see :meth:`finish`."""
        if self.is_finished:
            trainer.should_stop = True

    def finish(self, module: torch.nn.Module) -> None:
        """Leave the weights of a training that had come to its end, as that did."""
        found = cast("State", self._found)
        module.load_state_dict(found["module"])
        self._take_over(found, module)
        self._keep.load_kept(module)

    def on_train_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Go on from what was found."""
        if self._found is None:
            return
        put_back(self._found, trainer, plan.module)
        self._take_over(self._found, plan.module)
        for callback in self._others(trainer):
            if callback.state_key in self._found["callbacks"]:
                callback.load_state_dict(self._found["callbacks"][callback.state_key])
        if trainer.is_global_zero:
            log.info("Training goes on after %d epochs, from %s.", trainer.current_epoch, self._folder)
        self._found = None

    def _take_over(self, state: State, module: torch.nn.Module) -> None:
        self._keep.go_on_from(state["keep"], next(module.parameters()).device)
        self._history.go_on_from(state["history"])

    def on_train_epoch_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Write where the epochs before have led to: by now schedules and history are done with them."""
        epoch = trainer.current_epoch
        if epoch > self.epochs_found and epoch % self._every == 0:
            self._write(trainer, plan, is_finished=False)

    def on_train_end(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Write the end; a training that something else has stopped goes on from there."""
        is_finished = trainer.current_epoch >= trainer.max_epochs or self._keep.has_lost_patience
        self._write(trainer, plan, is_finished=is_finished)

    def _write(self, trainer: lightning.Trainer, plan: Any, *, is_finished: bool) -> None:
        if not trainer.is_global_zero:
            return
        state: State = {
            "identity": self._identity,
            "n_processes": trainer.world_size,
            "is_finished": is_finished,
            **collect(trainer, plan.module),
            "keep": self._keep.state_dict(),
            "history": self._history.state_dict(),
            "callbacks": {each.state_key: kept for each in self._others(trainer) if (kept := each.state_dict())},
        }
        try:
            write_state(self._folder, state)
        except TypeError as error:
            raise TypeError(
                f"The state of a callback ({', '.join(state['callbacks'])}) cannot be kept in a checkpoint: {error} "
                "Train without `checkpoint`, or without this callback."
            ) from error

    def _others(self, trainer: lightning.Trainer) -> list[Any]:
        """Callbacks of the user."""
        return [each for each in trainer.callbacks if each is not self and each is not self._keep]
