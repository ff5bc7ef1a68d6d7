"""scvi-tools' data module for our minibatches and our split."""

from __future__ import annotations

import numpy as np
from scvi.data import AnnDataManager
from scvi.dataloaders import DataSplitter
from torch.utils.data import DataLoader

from ._dataset import CellDataset, cell_loader


class CellSplitter(DataSplitter):
    """Loads given training and validation cells.

    Parameters
    ----------
    adata_manager
        Manager of the registered object.
    train, validation
        Indices of the cells.
    dataset
        The registered cells.
    batch_size
        Cells per minibatch.
    distributed
        Whether several processes share the cells.
    seed
        Of the order of the training cells.
    """

    def __init__(
        self,
        adata_manager: AnnDataManager,
        *,
        train: np.ndarray,
        validation: np.ndarray,
        dataset: CellDataset,
        batch_size: int,
        distributed: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(adata_manager)
        self.train_idx, self.val_idx, self.test_idx = train, validation, np.empty(0, dtype=np.int64)
        self.n_train, self.n_val = len(train), len(validation)
        self._dataset, self.batch_size = dataset, batch_size
        self._distributed, self._seed = distributed, seed

    def setup(self, stage: str | None = None) -> None:
        """Nothing to do: the split was given."""

    def train_dataloader(self) -> DataLoader:
        """Training cells, reshuffled every epoch."""
        return self._loader(self.train_idx, shuffle=True)

    def val_dataloader(self) -> DataLoader | None:
        """Validation cells in order; None where there are none."""
        return self._loader(self.val_idx, shuffle=False) if self.n_val else None

    def _loader(self, cells: np.ndarray, *, shuffle: bool) -> DataLoader:
        size = self.batch_size if shuffle else max(self.batch_size, 512)
        return cell_loader(
            self._dataset.subset(cells), size, shuffle=shuffle, distributed=self._distributed, seed=self._seed
        )
