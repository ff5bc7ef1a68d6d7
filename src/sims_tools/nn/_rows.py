"""Features of a minibatch as they are stored: the non-zero ones of each row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class SparseRows:
    """Rows in compressed form (CSR): what a network reads in place of a dense (B, p) tensor.

    Lightning and scvi-tools move it between devices by :meth:`to`.

    Attributes
    ----------
    indptr
        (B + 1,) int64, where each row starts in the other two.
    indices
        (n_stored,) int32 columns, rising and without repeats within a row.
    values
        (n_stored,) stored values.
    n_columns
        Number p of columns.
    """

    indptr: Tensor
    indices: Tensor
    values: Tensor
    n_columns: int

    @property
    def n_rows(self) -> int:
        """Number B of rows."""
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(B, p)."""
        return self.n_rows, self.n_columns

    @property
    def dtype(self) -> torch.dtype:
        """Type of the values."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.values.device

    @classmethod
    def from_dense(cls, dense: Tensor) -> Self:
        """Non-zero entries of a (B, p) tensor."""
        rows, columns = dense.nonzero(as_tuple=True)
        indptr = torch.searchsorted(rows, torch.arange(len(dense) + 1, device=dense.device))
        return cls(indptr, columns.to(torch.int32), dense[rows, columns], dense.shape[1])

    def row_ids(self) -> Tensor:
        """(n_stored,) int64 row of each stored value."""
        rows = torch.arange(self.n_rows, device=self.device)
        return rows.repeat_interleave(self.indptr.diff(), output_size=len(self.values))

    def with_values(self, values: Tensor) -> Self:
        """The same pattern, shared, with other values (n_stored,)."""
        return replace(self, values=values)

    def to(self, target: torch.device | torch.dtype | str, *, non_blocking: bool = False) -> Self:
        """All tensors on another device, or the values in another type."""
        values = self.values.to(target, non_blocking=non_blocking)
        if values.device == self.indptr.device:
            return replace(self, values=values)
        indptr, indices = (each.to(values.device, non_blocking=non_blocking) for each in (self.indptr, self.indices))
        return replace(self, indptr=indptr, indices=indices, values=values)

    def pin_memory(self) -> Self:
        """Copy in page-locked memory, from which a GPU reads quickest."""
        indptr, indices, values = (each.pin_memory() for each in (self.indptr, self.indices, self.values))
        return replace(self, indptr=indptr, indices=indices, values=values)

    def to_dense(self) -> Tensor:
        """(B, p) tensor; differentiable in the values."""
        dense = self.values.new_zeros(self.n_rows * self.n_columns)
        places = self.row_ids() * self.n_columns + self.indices
        return dense.index_put((places,), self.values).view(self.shape)
