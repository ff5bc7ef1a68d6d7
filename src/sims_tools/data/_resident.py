"""Cells that stay on the device that trains: minibatches are gathered there, from the matrix as it is stored."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset

from sims_tools.nn import SparseRows

from ._dataset import LABELS, TOTALS, Batch, CellDataset, X, to_batch, to_column
from ._kind import check_values
from ._matrix import with_data

if TYPE_CHECKING:
    from ._paired_cells import PairedCells

_SHARE = 4
"""Cells stay on a device where they take no more than one part in so many of its free memory."""


def can_reside(dataset: CellDataset | PairedCells, device: torch.device) -> bool:
    """Whether all rows of a data set, not only its own cells, should be kept on a device: on CUDA, where they fit."""
    if device.type != "cuda" or not isinstance(dataset, CellDataset):
        return False
    if not dataset.is_linear or dataset.totals is None:
        return False
    n_bytes = 8 * dataset.matrix.nnz + 16 * dataset.matrix.shape[0]
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes * _SHARE <= free


class ResidentCells(Dataset):
    """The minibatches of a :class:`CellDataset`, made on the device.

    Where a row starts and how long it is, is known on the host, so that nothing waits for the device.

    Parameters
    ----------
    dataset
        The cells; a CSR matrix on a linear scale, totals known.
    device
        Where they are to stay.

    Raises
    ------
    ValueError
        The cells are not stored so, or values are negative, NaN or infinite.
    """

    def __init__(self, dataset: CellDataset, device: torch.device) -> None:
        if not dataset.is_linear or dataset.totals is None:
            raise ValueError("Cells can stay on a device as a CSR matrix on a linear scale with known totals only.")
        matrix = dataset.matrix
        check_values(matrix)
        self.cells = dataset.cells
        self._indptr = matrix.indptr.astype(np.int64)
        whole = to_batch(with_data(matrix, matrix.data.astype(np.float32, copy=False)), dataset.totals)
        whole[LABELS] = to_column(dataset.labels, np.int64)
        self._stored: dict[str, Any] = {name: each.to(device) for name, each in whole.items()}

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, positions: Sequence[int]) -> Batch:
        rows = self.cells[np.asarray(positions)]
        counts, places = gather_rows(self._stored[X], self._indptr, rows)
        return {X: counts} | {name: self._stored[name].index_select(0, places) for name in (TOTALS, LABELS)}

    def subset(self, cells: np.ndarray) -> ResidentCells:
        """Other cells of the same matrix, which is shared."""
        part = copy(self)
        part.cells = cells
        return part

    def release(self) -> None:
        """Give the device's memory back; no minibatch can be made after this, of no subset either."""
        self._stored.clear()


def gather_rows(stored: SparseRows, indptr: np.ndarray, rows: np.ndarray) -> tuple[SparseRows, torch.Tensor]:
    """Rows of a matrix that is on a device, in any order, without waiting for the device.

    Parameters
    ----------
    stored
        The matrix (n, p); its own `indptr` is not read, as that would mean to wait.
    indptr
        (n + 1,) int64 `indptr` of the matrix, on the host.
    rows
        (B,) indices of the rows, on the host.

    Returns
    -------
    The rows (B, p), and their indices (B,) on the device.
    """
    ends = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum(indptr[rows + 1] - indptr[rows], out=ends[1:])
    n_stored = int(ends[-1])
    plan = _send(np.concatenate([ends, indptr[rows] - ends[:-1], rows]), stored.device)
    taken, shifts, places = plan.split([len(rows) + 1, len(rows), len(rows)])
    at = torch.arange(n_stored, device=stored.device)
    at += shifts.repeat_interleave(taken.diff(), output_size=n_stored)
    indices, values = (each.index_select(0, at) for each in (stored.indices, stored.values))
    return SparseRows(taken, indices, values, stored.n_columns), places


def _send(array: np.ndarray, device: torch.device) -> torch.Tensor:
    """A copy on the device; to CUDA through page-locked memory, for which nobody waits."""
    tensor = torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
