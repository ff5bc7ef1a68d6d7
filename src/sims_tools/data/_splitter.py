"""scvi-tools' data module for our minibatches and our split."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from scvi.data import AnnDataManager
from scvi.dataloaders import DataSplitter
from torch.utils.data import DataLoader

from sims_tools._digest import digest

from ._dataset import Batch, CellDataset, cell_loader, to_device
from ._paired_cells import PairedCells
from ._panels import PanelCells, Panels
from ._resident import ResidentCells, can_reside


class CellSplitter(DataSplitter):
    """Loads given training and validation cells.

    Where the matrix fits beside the model on the GPU that trains, it stays there and minibatches are made from it;
    otherwise each is moved there.

    Parameters
    ----------
    adata_manager
        Manager of the registered object.
    train, validation
        Indices of the cells.
    dataset
        The registered cells.
    batch_size
        Cells per minibatch, shared between the processes that train.
    seed
        Of the order of the training cells.
    test
        Indices of cells that are kept aside.
    drop_last
        Leave out training cells that do not fill a minibatch; others every epoch.
    panels
        What each of several references measured, where that differs: training cells are shown through all of them.
    sampling
        "uniform" shows every training cell once in an epoch, "balanced" every class equally often.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        *,
        train: np.ndarray,
        validation: np.ndarray,
        dataset: CellDataset | PairedCells,
        batch_size: int,
        seed: int = 0,
        test: np.ndarray | None = None,
        drop_last: bool = False,
        panels: Panels | None = None,
        sampling: str = "uniform",
    ) -> None:
        super().__init__(adata_manager)
        self.train_idx, self.val_idx = train, validation
        self.test_idx = np.empty(0, dtype=np.int64) if test is None else test
        self.n_train, self.n_val = len(train), len(validation)
        self._dataset, self.batch_size = dataset, batch_size
        self._seed, self._drop_last = seed, drop_last
        self._panels, self._balanced = panels, sampling == "balanced"
        self._resident: ResidentCells | None = None

    @property
    def device(self) -> torch.device:
        """Where the minibatches are wanted."""
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def digests(self) -> dict[str, str]:
        """What these minibatches are made of, each by what a message calls it."""
        cells = [self._dataset.digest(), "" if self._panels is None else self._panels.digest()]
        split = (np.asarray(each, dtype=np.int64) for each in (self.train_idx, self.val_idx, self.test_idx))
        return {"cells": digest("".join(cells).encode()), "split": digest(*split)}

    def setup(self, stage: str | None = None) -> None:
        """Take the matrix to the GPU where it fits; the split was given."""
        if self._resident is None and self._panels is None and can_reside(self._dataset, self.device):
            self._resident = ResidentCells(cast("CellDataset", self._dataset), self.device)

    def close(self) -> None:
        """Give the GPU's memory back, whoever still holds a loader."""
        if self._resident is not None:
            self._resident.release()
            self._resident = None

    def train_dataloader(self) -> DataLoader:
        """Training cells, reshuffled every epoch."""
        return self._loader(self.train_idx, shuffle=True)

    def val_dataloader(self) -> DataLoader | None:
        """Validation cells in order; None where there are none."""
        return self._loader(self.val_idx, shuffle=False) if self.n_val else None

    def _loader(self, cells: np.ndarray, *, shuffle: bool) -> DataLoader:
        rank, n_processes = (0, 1) if self.trainer is None else (self.trainer.global_rank, self.trainer.world_size)
        return cell_loader(
            self._cells(cells, shuffle),
            self.batch_size if shuffle else max(self.batch_size, 512),
            shuffle=shuffle,
            rank=rank,
            n_processes=n_processes,
            seed=self._seed,
            pin_memory=self._resident is None and self.device.type == "cuda",
            drop_last=shuffle and self._drop_last,
            codes=self._dataset.labels[cells] if shuffle and self._balanced else None,
        )

    def _cells(self, cells: np.ndarray, train: bool) -> CellDataset | PairedCells | ResidentCells | PanelCells:
        source = (self._dataset if self._resident is None else self._resident).subset(cells)
        if train and self._panels is not None and isinstance(source, CellDataset):
            return PanelCells(source, self._panels, self._seed)
        return source

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Move a minibatch."""
        return to_device(batch, device)
