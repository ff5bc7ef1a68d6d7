"""One minibatch through TabNet on its stored values, forwards and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sims_tools.nn._feature_transformer import FeatureTransformer
from sims_tools.nn._rows import SparseRows

from ._arrays import Gradients, array
from ._attention import Attention
from ._chunks import Chunks
from ._entropy import Entropy
from ._explain import join_masks
from ._input_norm import InputNorm
from ._masks import Masks
from ._memory import zeros
from ._stack import GatedStack
from ._stored import Stored
from ._table import Table
from ._wide import FirstProduct, MaskedProduct


class Pass:
    """Everything between the stored features and the embedding.

    Parameters
    ----------
    network
        A :class:`~sims_tools.nn.TabNet`; in training mode its running statistics are updated.
    rows
        The minibatch, on the CPU, in the network's precision.
    keep
        Keep what :meth:`backward` needs.
    """

    def __init__(self, network: Any, rows: SparseRows, *, keep: bool) -> None:
        self.network, self.keep = network, keep
        self.stored = Stored(array(rows.indptr), array(rows.indices), array(rows.values), rows.n_columns)
        self.n_rows = rows.n_rows
        vbs = network.splitter.norms[0].virtual_batch_size
        self.chunks = Chunks.cut(self.n_rows, vbs, training=network.training)
        self.norm = InputNorm(network.input_norm, self.stored, training=network.training)
        self._masks = Masks(self.n_rows, network.gamma, self.stored.values.dtype)
        self._tables: dict[int, Table] = {}
        self._entropy, self.entropy = Entropy(self.n_rows, len(network.attentives)), 0.0
        self.attentions: list[Attention] = []
        self.products: list[MaskedProduct] = []
        self.stacks: list[GatedStack] = []
        self.hidden: list[np.ndarray] = []

    def forward(self) -> np.ndarray:
        """(B, n_d) embedding; entropy and what the steps did are left in the attributes."""
        network, n_d = self.network, self.network.n_d
        self.first = FirstProduct(self._table(network.splitter), self.norm, self.stored)
        hidden = self._stack(network.splitter).forward(self.first.forward())
        embedding = zeros((self.n_rows, n_d), hidden.dtype)
        self._decisions = np.empty((len(network.attentives), self.n_rows, n_d), hidden.dtype)
        for step, (attentive, transformer) in enumerate(zip(network.attentives, network.transformers, strict=True)):
            attention = Attention(attentive, self.chunks, self.stored)
            attention.forward(np.ascontiguousarray(hidden[:, n_d:]), self._masks)
            product = MaskedProduct(self._table(transformer), self.norm, self.stored)
            span = self._masks.span(step)
            values = product.forward(self._masks.indptr(step), self._masks.genes[span], self._masks.shares[span])
            hidden = self._stack(transformer).forward(values)
            embedding += np.maximum(hidden[:, :n_d], 0, out=self._decisions[step])
            if network.sparsity:
                self.entropy += self._entropy.of_step(self._masks.shares[span], keep=self.keep)
            if self.keep:
                self.attentions.append(attention)
                self.products.append(product)
                self.hidden.append(hidden)
        return embedding

    def _layers(self, transformer: FeatureTransformer) -> list[nn.Linear]:
        return [*self.network.shared, *transformer.linears]

    def _table(self, transformer: FeatureTransformer) -> Table:
        layer = self._layers(transformer)[0]
        if id(layer) not in self._tables:
            self._tables[id(layer)] = Table(layer)
        return self._tables[id(layer)]

    def _stack(self, transformer: FeatureTransformer) -> GatedStack:
        stack = GatedStack(transformer, self._layers(transformer)[1:], self.chunks, self.keep)
        if self.keep:
            self.stacks.append(stack)
        return stack

    def backward(self, grad_embedding: np.ndarray, grad_entropy: float) -> Gradients:
        """Gradients of all parameters from those of embedding (B, n_d) and entropy."""
        n_d, gradients = self.network.n_d, Gradients()
        grad = zeros(self._masks.shares.shape, self._masks.shares.dtype)
        if grad_entropy:
            self._entropy.add_grad(self._masks, grad_entropy, grad)
        grad_attention = np.zeros_like(self.hidden[0][:, n_d:])
        of_norm = []
        for step in reversed(range(len(self.attentions))):
            grad_decision = grad_embedding * (self.hidden[step][:, :n_d] > 0)
            coming = np.concatenate([grad_decision, grad_attention], axis=1)
            grad_values = self.stacks[step + 1].backward(coming, gradients)
            of_norm.append(self.products[step].backward(grad_values, grad[self._masks.span(step)]))
            grad_attention = self.attentions[step].backward(self._masks, grad, gradients)
        coming = np.concatenate([np.zeros_like(grad_embedding), grad_attention], axis=1)
        of_norm.append(self.first.backward(self.stacks[0].backward(coming, gradients)))
        for each in of_norm:
            if each is not None:
                self.norm.backward(*each, gradients)
        for table in self._tables.values():
            table.hand_over(gradients)
        return gradients

    @property
    def decisions(self) -> Tensor:
        """(S, B, n_d), non-negative: what each step adds to the embedding."""
        return torch.from_numpy(self._decisions)

    @property
    def masks(self) -> list[SparseRows]:
        """Mask (B, p) of each step."""
        spans = ((step, self._masks.span(step)) for step in range(len(self._masks)))
        return [self._rows(self._masks.indptr(i), self._masks.genes[at], self._masks.shares[at]) for i, at in spans]

    def join(self, weights: Tensor) -> SparseRows:
        """(B, p) sum of the masks, weighted (S, B)."""
        return self._rows(*join_masks(self._masks, np.ascontiguousarray(weights.t().numpy(), self._masks.shares.dtype)))

    def _rows(self, indptr: np.ndarray, genes: np.ndarray, shares: np.ndarray) -> SparseRows:
        parts = [torch.from_numpy(each) for each in (indptr, genes, shares)]
        return SparseRows(parts[0], parts[1], parts[2], self.network.n_input)
