"""Rows of a matrix with their labels as minibatches of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler, SequentialSampler

from ._kind import InputKind
from ._rows import take_rows

X, LABELS, TOTALS = "X", "labels", "total_counts"
"""Keys of a minibatch; the first two are scvi-tools' own."""

Batch = dict[str, torch.Tensor]


class CellDataset(Dataset):
    """Cells to train on; an index list gives a whole minibatch.

    Parameters
    ----------
    matrix
        (n_obs, n_genes) stored values: array, sparse, backed or dask. CSR is quickest; CSC is turned into it.
    labels
        (n_obs,) class codes.
    kind
        What the stored values are.
    totals
        (n_obs,) totals on the linear scale; None takes them from the row itself.
    cells
        The rows of this set; positions in the set index into it.
    """

    def __init__(
        self, matrix: Any, labels: np.ndarray, kind: InputKind, totals: np.ndarray | None, cells: np.ndarray
    ) -> None:
        self.matrix = matrix.tocsr() if sparse.issparse(matrix) else matrix
        self.labels, self.kind, self.totals, self.cells = labels, kind, totals, cells

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        rows = self.cells[np.asarray(positions)]
        return to_batch(*self.linear_rows(rows)) | {LABELS: torch.from_numpy(self.labels[rows].reshape(-1, 1))}

    def linear_rows(self, rows: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Linear values (n, n_genes) and totals (n,) of some rows of the matrix."""
        linear, totals = self.kind.to_linear(take_rows(self.matrix, rows))
        return linear, totals if self.totals is None else self.totals[rows]

    def linear_blocks(self, rows: np.ndarray, size: int = 4096) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """:meth:`linear_rows` of many rows, in blocks."""
        for start in range(0, len(rows), size):
            yield self.linear_rows(rows[start : start + size])

    def subset(self, cells: np.ndarray) -> CellDataset:
        """The same matrix with another set of cells."""
        return CellDataset(self.matrix, self.labels, self.kind, self.totals, cells)


def to_batch(linear: sparse.csr_matrix, totals: np.ndarray) -> Batch:
    """Linear values (n, p) and totals (n,) as tensors: float32 (n, p) and (n, 1)."""
    return {
        X: torch.from_numpy(linear.toarray()),
        TOTALS: torch.from_numpy(np.asarray(totals, dtype=np.float32).reshape(-1, 1)),
    }


def cell_loader(
    dataset: CellDataset, batch_size: int, *, shuffle: bool, distributed: bool = False, seed: int = 0
) -> DataLoader:
    """Minibatches of a dataset, reshuffled every epoch where asked.

    Parameters
    ----------
    dataset
        The cells.
    batch_size
        Cells per minibatch (and per process where `distributed`).
    shuffle
        New order at each pass.
    distributed
        Share the cells between the processes of a running `torch.distributed` group.
    seed
        Of the order.
    """
    if distributed:
        from scvi.dataloaders import BatchDistributedSampler

        batches = BatchDistributedSampler(dataset, batch_size=batch_size, shuffle=shuffle, seed=seed)
    else:
        generator = torch.Generator().manual_seed(seed)
        order = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        batches = BatchSampler(order, batch_size, drop_last=False)
    own = torch.Generator().manual_seed(seed)  # without it, each pass would draw from the global one
    return DataLoader(dataset, sampler=batches, batch_size=None, generator=own)
