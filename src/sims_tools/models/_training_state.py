"""Where a training is between two epochs: all that is needed to go on from there, and the file that keeps it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch

from sims_tools.models._plain_file import read_plain, write_plain

State = dict[str, Any]

_FORMAT = 1
FILE = "training.safetensors"


def collect(trainer: lightning.Trainer, module: torch.nn.Module) -> State:
    """Weights, optimisers, schedules, and how far the training is."""
    return {
        "epoch": trainer.current_epoch,
        "step": trainer.global_step,
        "module": module.state_dict(),
        "optimizers": [each.state_dict() for each in trainer.optimizers],
        "schedules": [each.scheduler.state_dict() for each in trainer.lr_scheduler_configs],
        "precision": trainer.precision_plugin.state_dict(),
    }


def put_back(state: State, trainer: lightning.Trainer, module: torch.nn.Module) -> None:
    """What :func:`collect` gave, into a trainer that is about to begin its first epoch."""
    module.load_state_dict(state["module"])
    for optimizer, its_state in zip(trainer.optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(its_state)
    for config, its_state in zip(trainer.lr_scheduler_configs, state["schedules"], strict=True):
        config.scheduler.load_state_dict(its_state)
    trainer.precision_plugin.load_state_dict(state["precision"])
    _count_on(trainer, state["epoch"], state["step"])


def _count_on(trainer: lightning.Trainer, epoch: int, step: int) -> None:
    """Lightning's counters, as they are between two epochs."""
    loop = trainer.fit_loop
    for progress in (loop.epoch_progress.total, loop.epoch_progress.current):
        progress.load_state_dict(dict.fromkeys(("ready", "started", "processed", "completed"), epoch))
    steps = loop.epoch_loop.automatic_optimization.optim_progress.optimizer.step.total
    steps.load_state_dict({"ready": step, "completed": step})
    loop.epoch_loop._batches_that_stepped = step  # the steps that loggers are told


def write_state(folder: Path, state: State) -> None:
    """Keep a state in place of the one before; there is always a whole one.

    Raises
    ------
    TypeError
        It holds more than plain values and tensors.
    """
    write_plain(folder / FILE, {"format": _FORMAT, **state})


def read_state(folder: Path) -> State | None:
    """The state that a folder keeps, on the CPU; None where there is none.

    Raises
    ------
    ValueError
        The file is damaged, or was written by a later version.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`checkpoint={str(folder)!r}` is a file; expected a folder, which may be new.")
    path = folder / FILE
    if not path.exists():
        return None
    try:
        state = read_plain(path)
    except ValueError as error:
        raise ValueError(f"{error} Delete it to train from the beginning.") from error
    if state["format"] != _FORMAT:
        raise ValueError(
            f"{str(path)!r} has format {state['format']!r}; this version of sims-tools reads {_FORMAT}. Delete it to "
            "train from the beginning, or update sims-tools."
        )
    return state
