"""A Lightning data module of the user's, as one of ours: on one process, or on several that share its cells."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import torch.distributed
from lightning.pytorch import LightningDataModule

from sims_tools.data._block_order import Share
from sims_tools.data._cell_sketch import CellSketch, alike
from sims_tools.data._class_sums import Cells
from sims_tools.data._dataset import Batch, to_device
from sims_tools.data._module_batches import ModuleBatches, to_minibatch
from sims_tools.data._shared_loader import samplers_of, shared_loader
from sims_tools.models._random import seeded

_SAME_CELLS = 0.5
"""Share of cells in common from which two processes are taken to train on the same."""


class LoadedModule(LightningDataModule):
    """A data module whose minibatches come as ours do.

    Parameters
    ----------
    given
        The user's.
    batches
        Reads its minibatches.
    lengths
        Minibatches of an epoch, of training and of validation cells, on all processes together.
    n_val
        Number of validation cells.
    cells
        Digest of the cells.
    seed
        Of the order of what processes share.
    """

    def __init__(
        self, given: Any, batches: ModuleBatches, lengths: tuple[int, int], n_val: int, cells: str, seed: int
    ) -> None:
        super().__init__()
        self._given, self._batches, self._lengths, self._cells = given, batches, lengths, cells
        self.n_val, self._seed = n_val, seed
        self.train_idx, self.val_idx, self.test_idx = (
            getattr(given, f"{name}_idx", None) for name in ("train", "val", "test")
        )

    @property
    def _share(self) -> Share:
        return Share() if self.trainer is None else Share(self.trainer.global_rank, self.trainer.world_size)

    def digests(self) -> dict[str, str]:
        """What these minibatches are made of, as far as it can be told."""
        return {"cells": self._cells}

    def setup(self, stage: str) -> None:
        """Let the user's module know the trainer, and that it serves one process of several; it was set up before."""
        self._given.trainer = self.trainer
        if self._share.world > 1:
            with seeded(self._seed):  # as it was set up before
                self._given.setup(stage)

    def teardown(self, stage: str) -> None:
        """Let the user's module end."""
        self._given.teardown(stage)

    def train_dataloader(self) -> Minibatches | EvenMinibatches:
        """Training cells."""
        share, loader = self._share, self._given.train_dataloader()
        if share.world == 1:
            return Minibatches(loader, self._batches, self._lengths[0])
        loader = shared_loader(loader, share, self._seed)
        length = _length(loader, -(-self._lengths[0] // share.world))
        return EvenMinibatches(loader, self._batches, min(gathered(length, share)), share, type(self._given).__name__)

    def val_dataloader(self) -> Minibatches | None:
        """Validation cells; None where there are none."""
        if not self.n_val:
            return None
        share = self._share
        loader = shared_loader(loaders_of(self._given), share, self._seed)
        return Minibatches(loader, self._batches, self._lengths[1] if share.world == 1 else _length(loader, None))

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        """Move a minibatch."""
        return to_device(batch, device)

    def close(self) -> None:
        """The user's module belongs to the user."""
        self._given.trainer = None


class Minibatches:
    """Minibatches of a loader in our form; whatever decides on their order is told the epoch.

    Parameters
    ----------
    loader
        The loader.
    batches
        Reads it.
    length
        Minibatches of a pass; None where nobody knows.
    """

    def __init__(self, loader: Any, batches: ModuleBatches, length: int | None) -> None:
        self._loader, self._batches, self._length = loader, batches, length
        self.sampler, self.batch_sampler = self, None  # Lightning tells a sampler the epoch

    def set_epoch(self, epoch: int) -> None:
        """Hand the number of the epoch on."""
        for each in (*samplers_of(self._loader), getattr(self._loader, "dataset", None)):
            if callable(tell := getattr(each, "set_epoch", None)):
                tell(epoch)

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError("The loader does not say how many minibatches it has.")
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        for cells in self._batches.read(self._loader):
            yield to_minibatch(*cells)


class EvenMinibatches(Minibatches):
    """The same number of minibatches on each of several processes, which compare what they saw in the first pass.

    A loader that ends before is begun anew, and one that does not end then is cut off.

    Parameters
    ----------
    loader, batches, length
        As :class:`Minibatches` takes them; the length is that of all processes.
    share
        Which process of how many.
    name
        That of the data module, for a message.
    """

    def __init__(self, loader: Any, batches: ModuleBatches, length: int, share: Share, name: str) -> None:
        super().__init__(loader, batches, length)
        self._share, self._name = share, name
        self._sketch: CellSketch | None = CellSketch()

    def __iter__(self) -> Iterator[Batch]:
        for number, cells in enumerate(self._cells(), start=1):
            if self._sketch is not None:
                self._sketch.add(cells[0], cells[1])
                if number == len(self):  # all processes are at this one; what has a length is asked for no more
                    self._compare(self._sketch)
            yield to_minibatch(*cells)
            if number == len(self):
                return

    def _cells(self) -> Iterator[Cells]:
        """Without end."""
        while True:
            found = False
            for cells in self._batches.read(self._loader):
                found = True
                yield cells
            if not found:
                raise ValueError(
                    f"`{self._name}` brings process {self._share.rank} no cell with a label of the model and with "
                    "counts. Train on fewer processes, or let it share its cells more evenly."
                )

    def _compare(self, sketch: CellSketch) -> None:
        """Raise ValueError, on all processes, where two of them were given the same cells."""
        self._sketch = None
        of_all = gathered(sketch.take(), self._share)
        for one, other in combinations(range(len(of_all)), 2):
            if (common := alike(of_all[one], of_all[other])) > _SAME_CELLS:
                raise ValueError(
                    f"Processes {one} and {other} were given the same cells by `{self._name}` in their first epoch "
                    f"({common:.0%} in common); each is to train on cells of its own. Return a `torch.utils.data."
                    "DataLoader` over a data set with `__getitem__`, whose minibatches are then shared; or let the "
                    "iterable data set bring each process its part, by `torch.distributed.get_rank()` and "
                    "`get_world_size()`; or train on one process."
                )


def gathered(value: Any, share: Share) -> list[Any]:
    """Values of all processes, by rank."""
    of_all: list[Any] = [None] * share.world
    torch.distributed.all_gather_object(of_all, value)
    return of_all


def loaders_of(module: Any) -> Any:
    """The loader of validation cells of a data module; an empty list where it has none."""
    found = module.val_dataloader() if type(module).val_dataloader is not LightningDataModule.val_dataloader else None
    return [] if found is None else found


def _length(loader: Any, otherwise: Any) -> Any:
    """Minibatches of a loader, where it says how many."""
    try:
        return len(loader)
    except TypeError:
        return otherwise
