"""Lightning's data module for cells that are streamed from where they are stored."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from sims_tools._digest import digest

from ._block_order import Share
from ._dataset import Batch, CellDataset, cell_loader, to_device
from ._stream import BlockStream


class StreamModule(LightningDataModule):
    """Training cells come from a stream, validation cells from memory.

    Parameters
    ----------
    stream
        Of the training cells.
    validation
        Cells that epochs are judged by.
    held_out
        (n,) rows of all cells that do not train.
    """

    def __init__(self, stream: BlockStream, validation: CellDataset, held_out: np.ndarray) -> None:
        super().__init__()
        self.train_idx, self.val_idx, self.test_idx = stream.rows, held_out, np.empty(0, dtype=np.int64)
        self.n_train, self.n_val = len(self.train_idx), len(validation)
        self._stream, self._validation = stream, validation

    @property
    def device(self) -> torch.device:
        """Where the minibatches are wanted."""
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    @property
    def _share(self) -> Share:
        return Share() if self.trainer is None else Share(self.trainer.global_rank, self.trainer.world_size)

    def digests(self) -> dict[str, str]:
        """What these minibatches are made of, each by what a message calls it."""
        split = (np.asarray(each, dtype=np.int64) for each in (self.train_idx, self.val_idx))
        return {"cells": self._stream.digest(), "split": digest(*split)}

    def train_dataloader(self) -> StreamLoader:
        """Training cells, in another order in every epoch."""
        self._stream.share = self._share
        return StreamLoader(self._stream, pin_memory=self.device.type == "cuda")

    def val_dataloader(self) -> DataLoader | None:
        """Validation cells in order; None where there are none."""
        if not self.n_val:
            return None
        return cell_loader(
            self._validation,
            max(self._stream.batch_size, 512),
            shuffle=False,
            rank=self._share.rank,
            n_processes=self._share.world,
            seed=self._stream.seed,
            pin_memory=self.device.type == "cuda",
        )

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a minibatch."""
        return to_device(batch, device)

    def close(self) -> None:
        """Nothing stays anywhere."""


class StreamLoader:
    """Minibatches of a stream, an epoch at each pass.

    Parameters
    ----------
    stream
        The stream.
    pin_memory
        Put minibatches into page-locked memory, from which a GPU reads quickest.
    """

    def __init__(self, stream: BlockStream, *, pin_memory: bool = False) -> None:
        self.sampler, self._pin_memory = stream, pin_memory  # Lightning tells a sampler the epoch

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.sampler:
            yield {name: each.pin_memory() for name, each in batch.items()} if self._pin_memory else batch
