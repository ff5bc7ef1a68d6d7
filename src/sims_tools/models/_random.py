"""Seeds that leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.pytorch.callbacks import Callback

from sims_tools.data._minibatch_order import epoch_rng


def resolve_seed(random_state: int | None) -> int:
    """The seed itself, or one drawn from torch's random stream where it is None."""
    if random_state is None:
        return int(torch.randint(2**31 - 1, (1,)))
    return int(random_state)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside the block and restore its generators after it."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


class SeedOfEpoch(Callback):
    """Seed torch anew in each epoch, by its number, so that training can go on from any of them.

    Parameters
    ----------
    seed
        Of the training. Each process of a training on several draws other numbers.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_train_epoch_start(self, trainer: lightning.Trainer, plan: Any) -> None:
        """Seed what is drawn in training steps."""
        torch.manual_seed(int(epoch_rng(self._seed, trainer.current_epoch, 2, trainer.global_rank).integers(2**63)))
