"""Linear maps from the genes: of the stored values of a minibatch, or of those a mask selects."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from ._csr import affine
from ._input_norm import InputNorm
from ._jit import run_tasks
from ._lookup import keep_hits, look_up
from ._memory import like, unset
from ._stored import Stored
from ._table import Table


@dataclass
class FirstProduct:
    """The first linear map of all, of the minibatch as it is stored."""

    table: Table
    norm: InputNorm
    stored: Stored

    def forward(self) -> np.ndarray:
        """(B, width)."""
        if self.norm.identity:
            return self.table.product(self.stored)
        values = like(self.stored.values)
        run_tasks(
            affine, self.stored.n_blocks,
            self.stored.block, self.stored.indptr, self.stored.indices, self.stored.values,
            self.norm.scale, np.zeros_like(self.norm.shift), values,
        )  # fmt: skip
        scaled = Stored(self.stored.indptr, self.stored.indices, values, self.stored.n_columns)
        return self.table.product(scaled) + self.table.constant(self.norm.shift)

    def backward(self, grad: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Add to the table's gradient; returns those of scale and shift of the norm."""
        if self.norm.identity:
            self.table.add(self.stored, grad)
            return None
        return self.table.add_normed(self.stored, self.norm.scale, self.norm.shift, grad)


@dataclass
class MaskedProduct:
    """The first linear map of a step: of the values its mask selects."""

    table: Table
    norm: InputNorm
    stored: Stored
    selected: Stored = field(init=False)

    def forward(self, indptr: np.ndarray, genes: np.ndarray, shares: np.ndarray) -> np.ndarray:
        """(B, width) from the mask of the step."""
        values, hits = like(shares), np.empty(len(indptr) - 1, np.int64)
        run_tasks(
            look_up, self.stored.n_blocks, self.stored.block,
            self.stored.indptr, self.stored.indices, self.stored.values, indptr, genes,
            self.table.n_genes, values, hits,
        )  # fmt: skip
        self.shares, self.raw = shares, values
        if self.norm.identity:
            return self._of_expressed(indptr, genes, shares, values, hits)
        self.inputs = like(values)
        run_tasks(
            affine,
            self.stored.n_blocks,
            self.stored.block,
            indptr,
            genes,
            values,
            self.norm.scale,
            self.norm.shift,
            self.inputs,
        )
        self.selected = Stored(indptr, genes, shares * self.inputs, self.stored.n_columns)
        return self.table.product(self.selected)

    def _of_expressed(
        self, indptr: np.ndarray, genes: np.ndarray, shares: np.ndarray, values: np.ndarray, hits: np.ndarray
    ) -> np.ndarray:
        starts = np.concatenate([[0], hits.cumsum()])
        size = (int(starts[-1]),)
        indices, self.places = unset(size, np.int32), unset(size, np.int64)
        self.inputs, products = unset(size, values.dtype), unset(size, values.dtype)
        run_tasks(
            keep_hits, self.stored.n_blocks, self.stored.block,
            indptr, genes, values, shares, starts, indices, self.places, self.inputs, products,
        )  # fmt: skip
        self.selected = Stored(starts, indices, products, self.stored.n_columns)
        return self.table.product(self.selected)

    def backward(self, grad: np.ndarray, grad_shares: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Add to the table's gradient and to `grad_shares`; returns those of scale and shift of the norm."""
        dots = self.table.dots(self.selected, grad)
        self.table.add(self.selected, grad)
        if self.norm.identity:
            grad_shares[self.places] += dots * self.inputs
            return None
        grad_shares += dots * self.inputs
        dots *= self.shares
        of_norm = (np.bincount(self.selected.indices, each, self.table.n_genes) for each in (dots * self.raw, dots))
        grad_scale, grad_shift = (each.astype(dots.dtype) for each in of_norm)
        return grad_scale, grad_shift
