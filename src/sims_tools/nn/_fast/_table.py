"""The weights of a linear map from the genes, and their gradient."""

from __future__ import annotations

import numpy as np
from torch import nn

from ._arrays import Gradients, array
from ._csr import STRIPE_BYTES, columns_product, entry_dots, rows_product
from ._jit import run_tasks
from ._stored import Stored


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
        out = np.empty((stored.n_rows, self.rows.shape[1]), self.rows.dtype)
        run_tasks(
            rows_product, stored.n_blocks, self.stripe, stored.indptr, stored.indices, stored.values, self.rows, out
        )
        return out

    def dots(self, stored: Stored, grad: np.ndarray) -> np.ndarray:
        """(n_stored,) gradient of each stored value, from that of the product (B, width)."""
        out = np.empty_like(stored.values)
        run_tasks(entry_dots, stored.n_blocks, self.stripe, stored.indptr, stored.indices, grad, self.rows, out)
        return out

    def add(self, stored: Stored, grad: np.ndarray, scale: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Add to the gradient of the table what a product passes back.

        Parameters
        ----------
        stored
            The sparse rows of the product, V.
        grad
            (B, width) gradient of the product, G.
        scale
            (p,) factor on each gene of the table in that product; None is 1.

        Returns
        -------
        ``rowsum(table * (V^T G))``, the gradient of the scale, and ``V^T 1``, both (p,).
        """
        if self._grad is None:
            self._grad = np.zeros_like(self.rows)
        dots, sums = np.empty_like(self._ones), np.empty_like(self._ones)
        run_tasks(
            columns_product, self.n_stripes,
            self.stripe, stored.indptr, stored.indices, stored.values, grad, self._ones if scale is None else scale,
            self.rows, scale is not None, self._grad, dots, sums,
        )  # fmt: skip
        return dots, sums

    def add_constant(self, constant: np.ndarray, grad_sum: np.ndarray) -> np.ndarray:
        """Add what ``constant @ table`` in every row passes back; returns the gradient of the constant."""
        if self._grad is None:
            self._grad = np.zeros_like(self.rows)
        self._grad += constant[:, None] * grad_sum
        return (self.rows * grad_sum).sum(1)

    def hand_over(self, gradients: Gradients) -> None:
        """Give the gradient to the layer's weight."""
        if self._grad is not None:
            gradients.add(self.layer.weight, self._grad.T)
