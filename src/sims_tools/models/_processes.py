"""Training on several processes: how they share the work, and that all of them do the same training."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import lightning.pytorch as lightning
import torch.distributed
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import DDPStrategy

from sims_tools._log import logger as log
from sims_tools.models._checkpoint import Checkpoint
from sims_tools.models._training_identity import INITIAL, Identity, differences

_SCRIPTS = {"ddp": False, "ddp_find_unused_parameters_false": False, "ddp_find_unused_parameters_true": True}
"""Ways to share the work between processes that run the same script, and whether weights may go unused in a step."""

_SMALL_SHARE = 16
"""Cells of a process and a minibatch below which a warning is given."""

_INSTEAD = 'Write a script that trains with `strategy="ddp"`, and run it by python, torchrun or srun.'


def shared_by(strategy: str | Any, devices: int | str | list[int], num_nodes: int) -> str | Any:
    """The strategy that Lightning is to follow; several devices share minibatches if nothing else is said.

    Buffers are not sent from the first process to the others at each step; they are averaged once an epoch.

    Raises
    ------
    ValueError
        The processes would end with training and leave nothing behind.
    """
    if not isinstance(strategy, str):
        return strategy
    n_devices = len(devices) if isinstance(devices, list) else devices
    if strategy == "auto" and ((isinstance(n_devices, int) and n_devices != 1) or num_nodes > 1):
        strategy = "ddp"
    if "ddp" not in strategy:
        return strategy
    if strategy not in _SCRIPTS:
        raise ValueError(
            f"`strategy={strategy!r}` leaves the trained model in processes that end with training. {_INSTEAD}"
        )
    if hasattr(sys, "ps1") or sys.flags.interactive:
        raise ValueError(f"Several devices cannot share a training in a notebook or interactive session. {_INSTEAD}")
    return DDPStrategy(find_unused_parameters=_SCRIPTS[strategy], broadcast_buffers=False)


class SameTraining(Callback):
    """Stop where processes that are to train together were given different cells, parameters or checkpoints.

    Parameters
    ----------
    identity
        Gives that of the training, as this process knows it.
    batch_size
        Cells of a minibatch, which they share.
    """

    def __init__(self, identity: Callable[[], Identity], batch_size: int) -> None:
        self._identity, self._batch_size = identity, batch_size

    def setup(self, trainer: lightning.Trainer, plan: Any, stage: str) -> None:
        """Compare with the first process; all see what any of them sees."""
        if trainer.world_size == 1:
            return
        epochs_found = [each.epochs_found for each in trainer.callbacks if isinstance(each, Checkpoint)]
        mine = {**self._identity(), "epochs in the checkpoint": epochs_found}
        del mine[INITIAL]  # those of the first process are sent to all
        of_all: list[Any] = [None] * trainer.world_size
        torch.distributed.all_gather_object(of_all, mine)
        for rank, each in enumerate(of_all):
            if differing := differences(of_all[0], each):
                raise ValueError(
                    f"Process {rank} was given another training than the first: {differing}. Every process has to call "
                    "the same function with the same cells and arguments, and to see the same checkpoint."
                )
        share = self._batch_size // trainer.world_size
        if share < _SMALL_SHARE and trainer.is_global_zero:
            log.warning(
                "Minibatches of %d cells are shared by %d processes: each sees %d at a time, of which batch norm takes "
                "its statistics. Pass a larger `batch_size`, or train on fewer.",
                self._batch_size,
                trainer.world_size,
                share,
            )
