"""Loaders of somebody else, where several processes train together: each takes its share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils.data import DataLoader, IterableDataset, Sampler

from ._block_order import Share
from ._minibatch_order import epoch_rng

_ALONE = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
"""What tells a process in its environment that it is one of several, where there is one."""

_KEPT = (
    "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "multiprocessing_context",
    "prefetch_factor", "persistent_workers",
)  # fmt: skip
"""Options of a loader that stay when its minibatches are shared."""


@contextmanager
def alone(seed: int) -> Iterator[None]:
    """Let data sets bring all cells that ask the environment which process of how many they serve.

    What draws from torch's random numbers meanwhile draws the same on all processes.

    Parameters
    ----------
    seed
        Of these numbers.
    """
    before = {name: os.environ.get(name) for name in _ALONE}
    os.environ.update(_ALONE)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def shared_loader(loader: Any, share: Share, seed: int) -> Any:
    """The loader of one process, where cells can be shared without the help of whoever made the loader.

    Each minibatch of a plain :class:`torch.utils.data.DataLoader` over a data set with `__getitem__` is cut into as
    many parts as there are processes, however its sampler draws it. All other loaders are returned as they are: those
    over iterable data sets, of classes of their own, and with a sampler that knows of processes.

    Parameters
    ----------
    loader
        The loader, the same on all processes.
    share
        Which process of how many.
    seed
        By which samplers draw from torch's random numbers; with the epoch, the same on all processes.
    """
    if share.world == 1 or type(loader) is not DataLoader or isinstance(loader.dataset, IterableDataset):
        return loader
    samplers = samplers_of(loader)
    if loader.batch_sampler is None or any(hasattr(each, "num_replicas") for each in samplers):
        return loader
    options: dict[str, Any] = {name: getattr(loader, name) for name in _KEPT}
    minibatches = SharedMinibatches(loader.batch_sampler, share, seed)
    return DataLoader(loader.dataset, batch_sampler=minibatches, **options)


def samplers_of(loader: Any) -> list[Any]:
    """What decides on the order of a loader."""
    inner = getattr(loader, "batch_sampler", None)
    found = (getattr(loader, "sampler", None), inner, getattr(inner, "sampler", None))
    return [each for each in found if each is not None]


class SharedMinibatches(Sampler[list[Any]]):
    """One process' part of each minibatch; where there are fewer cells than processes, all are everybody's.

    Parameters
    ----------
    minibatches
        Draws indices of minibatches, from torch's random numbers if from any.
    share
        Which process of how many.
    seed
        Of these numbers.
    """

    def __init__(self, minibatches: Any, share: Share, seed: int) -> None:
        self._minibatches, self._share, self._seed = minibatches, share, seed
        self._epoch = 0

    def __len__(self) -> int:
        return len(self._minibatches)

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of this epoch; otherwise passes count on."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[list[Any]]:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(epoch_rng(self._seed, self._epoch, 3).integers(2**63)))
            own = [self._own(list(each)) for each in self._minibatches]
        self._epoch += 1
        yield from own

    def _own(self, minibatch: list[Any]) -> list[Any]:
        """The part of this process."""
        rank, world = self._share.rank, self._share.world
        return minibatch if len(minibatch) < world else minibatch[rank::world]
