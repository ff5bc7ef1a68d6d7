"""The weights of a linear map from the genes, and their gradient."""

from __future__ import annotations

import numpy as np
from torch import nn

from ._arrays import Gradients, array
from ._csr import STRIPE_BYTES, columns_product, entry_dots, rows_product, weighted_sum
from ._jit import run_tasks
from ._memory import like, unset
from ._stored import Stored

_TASKS = 16
"""Tasks that go through the stored entries by column."""


class Table:
    """The weights of one linear map, a row for each gene, and their gradient.

    Parameters
    ----------
    layer
        The linear map, p -> width.
    """

    def __init__(self, layer: nn.Linear) -> None:
        self.layer = layer
        self.rows = array(layer.weight.t())
        self.n_genes, width = self.rows.shape
        self.stripe = max(64, STRIPE_BYTES // (width * self.rows.itemsize))
        self.n_stripes = -(-self.n_genes // self.stripe)
        self._ones = np.ones(self.n_genes, self.rows.dtype)
        self._grad: np.ndarray | None = None

    def product(self, stored: Stored) -> np.ndarray:
        """(B, width): sparse rows times the table."""
        out = unset((stored.n_rows, self.rows.shape[1]), self.rows.dtype)
        run_tasks(
            rows_product,
            stored.n_blocks,
            stored.block,
            self.stripe,
            stored.indptr,
            stored.indices,
            stored.values,
            self.rows,
            out,
        )
        return out

    def dots(self, stored: Stored, grad: np.ndarray) -> np.ndarray:
        """(n_stored,) gradient of each stored value, from that of the product (B, width)."""
        out = like(stored.values)
        run_tasks(
            entry_dots, stored.n_blocks, stored.block, self.stripe, stored.indptr, stored.indices, grad, self.rows, out
        )
        return out

    def constant(self, shift: np.ndarray) -> np.ndarray:
        """(width,): the product with a dense row (p,)."""
        parts = np.empty((self.n_stripes, self.rows.shape[1]), self.rows.dtype)
        run_tasks(weighted_sum, self.n_stripes, self.stripe, shift, self.rows, parts)
        return parts.sum(0)

    def add(self, stored: Stored, grad: np.ndarray) -> None:
        """Add to the gradient of the table what the product of sparse rows passes back, given (B, width) its own."""
        self._add(stored, grad, self._ones, self._ones, compare=False)

    def add_normed(
        self, stored: Stored, scale: np.ndarray, shift: np.ndarray, grad: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The same for the product of ``stored * scale + shift``; returns the gradients of scale and shift."""
        return self._add(stored, grad, scale, shift, compare=True)

    def _add(
        self, stored: Stored, grad: np.ndarray, scale: np.ndarray, shift: np.ndarray, *, compare: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        fresh = self._grad is None
        if self._grad is None:
            self._grad = like(self.rows)
        dots, total_dots = np.empty_like(self._ones), np.empty_like(self._ones)
        stripe, entries = -(-self.n_genes // _TASKS), stored.columns
        run_tasks(
            columns_product, -(-self.n_genes // stripe),
            stripe, entries.starts, entries.rows, entries.values, grad, scale, shift, grad.sum(0), self.rows, compare,
            fresh, self._grad, dots, total_dots,
        )  # fmt: skip
        return dots, total_dots

    def hand_over(self, gradients: Gradients) -> None:
        """Give the gradient to the layer's weight, and begin another."""
        if self._grad is not None:
            gradients.add(self.layer.weight, self._grad.T)
            self._grad = None
