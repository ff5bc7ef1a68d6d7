"""Networks side by side, each in one call, without the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sims_tools.nn._rows import SparseRows

from ._addresses import Weights
from ._arrays import array
from ._cells import Batch, How, Inputs, Kept, Packed, Sizes, pack_weights
from ._cells_after import join_steps, move_statistics
from ._cells_backward import Grads, backward_cells
from ._cells_forward import forward_cells
from ._chunks import Chunks, stripes
from ._input_norm import InputNorm
from ._jit import run_tasks
from ._memory import unset
from ._stored import Stored

_TASKS = 4
"""Pieces that a minibatch is trained in, at most; each has gradients of all weights to itself."""

_SMALL = 1 << 20
"""Cells times features up to which scores of all features are held at once."""


def suits(networks: Sequence[Any], rows: SparseRows) -> bool:
    """Whether networks are alike, and either select only what is stored, as it is stored, or have small work."""
    if len({_kind(each) for each in networks}) > 1:
        return False
    first = networks[0]
    small = rows.n_rows * rows.n_columns <= _SMALL
    return small or (first.nonzero_only and isinstance(first.input_norm, nn.Identity))


def _kind(network: Any) -> tuple:
    """What networks must have in common."""
    attentive, norm = network.attentives[0], network.splitter.norms[0]
    layers = len(network.shared), len(network.splitter.linears), len(network.attentives)
    widths = network.n_input, network.n_d, network.n_a
    constants = network.gamma, attentive.selector_name, norm.virtual_batch_size, norm.bn.momentum, norm.bn.eps
    kind = network.training, bool(network.sparsity), network.nonzero_only, isinstance(network.input_norm, nn.Identity)
    return kind, layers, widths, constants


class SideBySide:
    """One minibatch through networks of one kind.

    Parameters
    ----------
    networks
        For which :func:`suits` holds. In training mode their running statistics are updated.
    weights
        Those of the networks.
    rows
        The minibatch, on the CPU, in the networks' precision.
    keep
        Keep what :meth:`backward` needs.
    """

    def __init__(self, networks: Sequence[Any], weights: list[Weights], rows: SparseRows, *, keep: bool) -> None:
        first, self.n_rows = networks[0], rows.n_rows
        norm, attentive = first.splitter.norms[0], first.attentives[0]
        self.weights = weights
        self.addresses = np.stack([each.addresses for each in self.weights])
        self.limits = np.array([[each.limit for each in network.attentives] for network in networks])
        chunks = Chunks.cut(self.n_rows, norm.virtual_batch_size, training=first.training)
        n_steps, n_layers = len(first.attentives), len(first.splitter.norms)
        self.n_shared = max(len(first.shared) - 1, 0)
        self.sizes = Sizes(first.n_input, first.n_d, first.n_a, n_steps, n_layers, len(self.weights[0].tables))
        entmax, momentum = attentive.selector_name == "entmax15", float(norm.bn.momentum)
        center = not isinstance(first.input_norm, nn.Identity)
        constants = first.gamma, float(norm.bn.eps), momentum
        self.how = How(chunks.measure, keep, entmax, first.nonzero_only, center, bool(first.sparsity), *constants)
        n_groups = max(1, _TASKS // len(networks)) if keep or chunks.measure else len(chunks)
        groups = np.linspace(0, len(chunks), min(n_groups, len(chunks)) + 1).astype(np.int64)
        self.dtype = array(rows.values).dtype
        self.batch = Batch(array(rows.indptr), array(rows.indices), array(rows.values), chunks.first_rows, groups)
        self.n_tasks = len(networks) * (len(groups) - 1)
        stored = Stored(self.batch.indptr, self.batch.indices, self.batch.values, rows.n_columns)
        self.norms = [InputNorm(each.input_norm, stored, training=each.training) for each in networks]
        scales = [np.stack([getattr(each, name) for each in self.norms]) for name in ("scale", "shift") if center]
        self.inputs = Inputs(*scales or [np.empty((len(networks), 0), self.dtype)] * 2)
        self.kept, self.packed = self._room(len(chunks)), self._pack()
        self.entropy_share = 1 / (self.n_rows * n_steps)

    def _unset(self, *shape: int) -> np.ndarray:
        return unset((len(self.weights), *shape), self.dtype)

    def _room(self, n_chunks: int) -> Kept:
        sizes, keep, n_rows = self.sizes, self.how.keep, self.n_rows
        width, n_steps, n_a = sizes.n_d + sizes.n_a, sizes.n_steps, sizes.n_a
        n_states = n_rows * width * ((n_steps + 1) * sizes.n_layers if keep else 1)
        n_measured = n_chunks if self.how.measure else 0
        n_means = n_measured * (n_steps + 1) * sizes.n_layers * 2 * width
        n_scores = n_measured * n_steps
        selected = n_steps * (len(self.batch.values) if self.how.nonzero else n_rows * sizes.p)
        return Kept(
            normed=self._unset(2 * n_states),
            gates=self._unset(n_states),
            states=self._unset(n_states),
            means=self._unset(n_means),
            variances=self._unset(n_means),
            features=self._unset(n_steps * n_rows * n_a),
            feature_means=self._unset(n_scores * n_a),
            covariance=self._unset(n_scores * n_a * n_a),
            score_variance=self._unset(n_scores * sizes.p),
            levels=self._unset(n_steps * n_rows),
            starts=np.empty((len(self.weights), n_steps * (n_rows + len(self.batch.groups) - 1)), np.int64),
            genes=unset((len(self.weights), selected), np.int32),
            shares=self._unset(selected),
            ratios=self._unset(selected),
            inputs=self._unset(selected),
            raw=self._unset(selected if self.how.center else 0),
        )

    def _pack(self) -> Packed:
        sizes, width = self.sizes, self.sizes.n_d + self.sizes.n_a
        layers = sizes.n_steps + 1, sizes.n_layers
        later = sizes.n_steps + 1, sizes.n_layers - 1
        packed = Packed(
            self._unset(*later, width, 2 * width),
            self._unset(*later, 2 * width, width),
            *(self._unset(*layers, 2 * width) for _ in range(4)),
        )
        run_tasks(pack_weights, len(self.weights), sizes, self.how.measure, self.addresses, packed)
        return packed

    def forward(self) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings (n_networks, B, n_d), and entropies (n_networks,) in nats, means over steps and cells."""
        self._decisions = self._unset(self.sizes.n_steps, self.n_rows, self.sizes.n_d)
        entropy = np.empty((len(self.weights), self.n_tasks // len(self.weights)))
        run_tasks(
            forward_cells, self.n_tasks,
            self.sizes, self.how, self.batch, self.inputs, self.addresses, self.packed, self.limits, self.kept,
            self._decisions, entropy,
        )  # fmt: skip
        if self.how.measure:
            run_tasks(move_statistics, len(self.weights), self.sizes, self.how, self.batch, self.addresses, self.kept)
        return self._decisions.sum(1), entropy.sum(1) * self.entropy_share

    def backward(self, grad_decisions: np.ndarray, grad_entropy: np.ndarray) -> list[Tensor]:
        """Gradients of the parameters of all networks, as :meth:`Weights.parameters` lists them.

        Parameters
        ----------
        grad_decisions
            (n_networks, S, B, n_d).
        grad_entropy
            (n_networks,).
        """
        sizes, width = self.sizes, self.sizes.n_d + self.sizes.n_a
        n_transformers, n, p = sizes.n_steps + 1, self.n_tasks, sizes.p
        shapes = (
            (sizes.n_tables, p, 2 * width),
            (n_transformers, sizes.n_layers - 1, 2 * width, width),
            *[(n_transformers, sizes.n_layers, 2 * width)] * 2,
            (sizes.n_steps, p, sizes.n_a),
            *[(sizes.n_steps, p)] * 2,
            *[(p if self.how.center else 0,)] * 2,
        )
        grads = Grads(*(unset((n, *shape), self.dtype) for shape in shapes))
        for each in (grads.linear, grads.gain, grads.bias, grads.scale, grads.shift):
            each[...] = 0
        run_tasks(
            backward_cells, n,
            sizes, self.how, self.batch, self.inputs, stripes(p, 8), self.addresses, self.packed, self.kept,
            self._decisions, np.ascontiguousarray(grad_decisions),
            grad_entropy.astype(np.float64) * self.entropy_share, grads,
        )  # fmt: skip
        n_groups = n // len(self.weights)
        if n_groups > 1:
            grads = Grads(*(each.reshape(len(self.weights), n_groups, *each.shape[1:]).sum(1) for each in grads))
        grads.linear[:, 0, : self.n_shared] += grads.linear[:, 1:, : self.n_shared].sum(1)
        return [each for member in range(len(self.weights)) for each in self._of_network(grads, member)]

    def _of_network(self, grads: Grads, member: int) -> list[Tensor]:
        """Gradients of one network in the order of :meth:`Weights.parameters`."""
        linear, layers = grads.linear[member], self.sizes.n_layers
        later = [linear[0, i] for i in range(self.n_shared)]
        later += [linear[t, i] for t in range(len(linear)) for i in range(self.n_shared, layers - 1)]
        gain, bias = (each[member].reshape(-1, each.shape[-1]) for each in (grads.gain, grads.bias))
        of_norms = [each for pair in zip(gain, bias, strict=True) for each in pair]
        of_input = self.norms[member].grads(grads.scale[member], grads.shift[member])
        scores = zip(grads.score_weight[member], grads.score_gain[member], grads.score_bias[member], strict=True)
        arrays = [
            *(each.T for each in grads.table[member]),
            *later,
            *of_norms,
            *(each for line in scores for each in line),
            *of_input,
        ]
        return [torch.from_numpy(each) for each in arrays]

    @property
    def decisions(self) -> Tensor:
        """(n_networks, S, B, n_d), non-negative: what each step adds to the embedding."""
        return torch.from_numpy(self._decisions)

    def join(self, weights: Tensor) -> SparseRows:
        """(B, p) sum of the masks of all networks and steps, weighted (n_networks, S, B)."""
        of_steps = np.ascontiguousarray(weights.numpy(), self.dtype)
        n_out = len(self.batch.values) if self.how.nonzero else self.n_rows * self.sizes.p
        shares = unset((n_out,), self.dtype)
        run_tasks(join_steps, len(self.batch.groups) - 1, self.sizes, self.how, self.batch, self.kept, of_steps, shares)
        if not self.how.nonzero:
            return SparseRows.from_dense(torch.from_numpy(shares).view(self.n_rows, self.sizes.p))
        kept = shares != 0
        indptr = np.concatenate([[0], kept.cumsum()])[self.batch.indptr]
        parts = [torch.from_numpy(each) for each in (indptr, self.batch.indices[kept], shares[kept])]
        return SparseRows(parts[0], parts[1], parts[2], self.sizes.p)
