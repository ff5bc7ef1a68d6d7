"""The stored entries of a minibatch, read by row or by column."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from sims_tools.nn._rows import SparseRows


class Entries(NamedTuple):
    """Stored entries in the order of one axis.

    Attributes
    ----------
    starts
        (n + 1,) int64, where each of the n lines (rows or columns) starts in the other two.
    others
        (n_stored,) int32 position of each entry on the other axis.
    values
        (n_stored,).
    """

    starts: Tensor
    others: Tensor
    values: Tensor

    @property
    def lines(self) -> Tensor:
        """(n_stored,) int64 line of each entry."""
        lines = torch.arange(len(self.starts) - 1, device=self.starts.device)
        return lines.repeat_interleave(self.starts.diff(), output_size=len(self.values))


class Pattern:
    """A minibatch in both orders; the second is built when it is first asked for, by a sort on the device.

    Parameters
    ----------
    rows
        The minibatch.
    """

    def __init__(self, rows: SparseRows) -> None:
        self.n_rows, self.n_columns = rows.shape
        self.by_row = Entries(rows.indptr, rows.indices, rows.values)

    @cached_property
    def by_column(self) -> Entries:
        """The same entries column after column, rows rising within a column."""
        columns, order = self.by_row.others.sort(stable=True)
        edges = torch.arange(self.n_columns + 1, device=columns.device, dtype=columns.dtype)
        rows = self.by_row.lines[order].to(torch.int32)
        return Entries(torch.searchsorted(columns, edges), rows, self.by_row.values[order])
