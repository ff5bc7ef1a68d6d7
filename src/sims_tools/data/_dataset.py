"""Rows of a matrix with their labels as minibatches of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from torch.utils.data import DataLoader, Dataset

from sims_tools._digest import digest
from sims_tools.nn import SparseRows

from ._kind import InputKind
from ._matrix import canonical, take_canonical
from ._minibatch_order import MinibatchOrder
from ._rows import take_rows

if TYPE_CHECKING:
    from ._paired_cells import PairedCells
    from ._panels import PanelCells
    from ._resident import ResidentCells

X, LABELS, PROTEINS, TOTALS = "X", "labels", "proteins", "total_counts"
"""Keys of a minibatch and of a registry; all but the last are scvi-tools' own."""

Batch = dict[str, torch.Tensor | SparseRows]
"""A minibatch of B cells: :class:`~sims_tools.nn.SparseRows` of linear values (B, n_genes), the rest (B, 1) tensors."""


class CellDataset(Dataset):
    """Cells to train on; an index list gives a whole minibatch.

    Parameters
    ----------
    matrix
        (n_obs, n_genes) stored values: array, sparse, backed or dask. CSR is quickest, and shared where its columns
        rise within each row; other sparse matrices are turned into it.
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
        self.is_sparse = sparse.issparse(matrix)
        self.matrix = canonical(matrix.tocsr()) if self.is_sparse else matrix
        self.labels, self.kind, self.totals, self.cells = labels, kind, totals, cells

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        rows = self.cells[np.asarray(positions)]
        return to_batch(*self.linear_rows(rows)) | {LABELS: to_column(self.labels[rows], np.int64)}

    @property
    def is_linear(self) -> bool:
        """Whether the matrix is in memory as CSR and needs no more than rows to be taken from it."""
        return self.is_sparse and self.kind.scale != "log1p"

    def linear_rows(self, rows: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Linear values (n, n_genes) and totals (n,) of some rows of the matrix."""
        block = take_canonical(self.matrix, rows) if self.is_sparse else take_rows(self.matrix, rows)
        return self.kind.to_linear(block, None if self.totals is None else self.totals[rows])

    def linear_blocks(self, rows: np.ndarray, size: int = 4096) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """:meth:`linear_rows` of many rows, in blocks."""
        for start in range(0, len(rows), size):
            yield self.linear_rows(rows[start : start + size])

    def digest(self) -> str:
        """Of all that training reads of these cells: values, totals, labels."""
        parts = [self.labels[self.cells], repr(self.kind).encode()]
        for linear, totals in self.linear_blocks(self.cells):
            parts += [digest(linear.data, linear.indices, linear.indptr, totals).encode()]
        return digest(*parts)

    def subset(self, cells: np.ndarray) -> CellDataset:
        """The same matrix with another set of cells."""
        part = copy(self)
        part.cells = cells
        return part


def to_batch(linear: sparse.csr_matrix, totals: np.ndarray) -> Batch:
    """Linear values (n, p) and totals (n,) as tensors: float32 rows (n, p), which may share memory, and (n, 1)."""
    return {X: to_sparse_rows(linear), TOTALS: to_column(totals, np.float32)}


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The same minibatch on a device; a GPU reads from page-locked memory while the host goes on."""
    return {name: each.to(device, non_blocking=device.type == "cuda") for name, each in batch.items()}


def to_column(values: np.ndarray, dtype: type) -> torch.Tensor:
    """Values (n,) as a tensor (n, 1)."""
    return _tensor(np.asarray(values, dtype=dtype).reshape(-1, 1))


def to_sparse_rows(block: sparse.csr_matrix) -> SparseRows:
    """A float32 block (n, p) as tensors; they share its memory where its columns rise within each row."""
    if not block.has_canonical_format:
        block = canonical(block)
    indptr, indices = block.indptr.astype(np.int64), block.indices.astype(np.int32, copy=False)
    return SparseRows(_tensor(indptr), _tensor(indices), _tensor(block.data), block.shape[1])


def _tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array if array.flags.writeable else array.copy())


def cell_loader(
    dataset: CellDataset | ResidentCells | PairedCells | PanelCells,
    batch_size: int,
    *,
    shuffle: bool,
    rank: int = 0,
    n_processes: int = 1,
    seed: int = 0,
    pin_memory: bool = False,
    drop_last: bool = False,
    codes: np.ndarray | None = None,
) -> DataLoader:
    """Minibatches of a dataset, reshuffled every epoch where asked.

    Parameters
    ----------
    dataset
        The cells; an index list gives a whole minibatch.
    batch_size
        Cells per minibatch, on all processes together.
    shuffle
        A new order in each epoch, which depends on its number and the seed.
    rank, n_processes
        Which process of how many that share the cells.
    seed
        Of the order.
    pin_memory
        Put minibatches into page-locked memory, from which a GPU reads quickest.
    drop_last
        Leave out what does not fill a minibatch.
    codes
        (n_cells,) class of each cell, where all classes are to come equally often.
    """
    order = MinibatchOrder(
        len(dataset),
        batch_size,
        shuffle=shuffle,
        seed=seed,
        drop_last=drop_last,
        rank=rank,
        n_processes=n_processes,
        on_epoch=getattr(dataset, "set_epoch", None),
        codes=codes,
    )
    own = torch.Generator().manual_seed(seed)  # without it, each pass would draw from the global one
    return DataLoader(dataset, sampler=order, batch_size=None, generator=own, pin_memory=pin_memory)
