"""A feature transformer after its first linear map, at work on one minibatch."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from torch import nn

from sims_tools.nn._feature_transformer import FeatureTransformer

from ._arrays import Gradients, array
from ._chunks import Chunks
from ._gated import gated_backward, gated_forward
from ._jit import run_tasks
from ._memory import like, unset, zeros
from ._norm import Norm


@dataclass
class GatedStack:
    """The gated layers of one transformer.

    Attributes
    ----------
    part
        The transformer.
    later
        Linear maps of all layers but the first.
    chunks
        How the minibatch is cut.
    keep
        Keep what :meth:`backward` needs.
    """

    part: FeatureTransformer
    later: list[nn.Linear]
    chunks: Chunks
    keep: bool
    mean: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.norms = [Norm(norm.bn) for norm in self.part.norms]
        self.gain, self.bias = (np.stack([getattr(norm, name) for norm in self.norms]) for name in ("gain", "bias"))
        self.eps = self.norms[0].eps
        n_layers, doubled = self.gain.shape
        shape = (n_layers - 1, doubled, doubled // 2)
        self.linear = unset(shape, self.gain.dtype)
        for i, layer in enumerate(self.later):
            self.linear[i] = array(layer.weight)
        if self.chunks.measure:
            self.mean = unset((len(self.chunks), n_layers, doubled), self.gain.dtype)
            self.variance = like(self.mean)
        else:
            self.mean, self.variance = (
                np.stack([getattr(norm, name) for norm in self.norms])[None] for name in ("mean", "variance")
            )

    def forward(self, hidden: np.ndarray) -> np.ndarray:
        """(B, 2 width) output of the first linear map to (B, width)."""
        n_kept, (n_rows, doubled) = len(self.gain) if self.keep else 1, hidden.shape
        self.normed = unset((n_kept, n_rows, doubled), hidden.dtype)
        self.gates, self.states = (unset((n_kept, n_rows, doubled // 2), hidden.dtype) for _ in range(2))
        run_tasks(
            gated_forward, len(self.chunks),
            1, self.chunks.first_rows, hidden, np.ascontiguousarray(self.linear.transpose(0, 2, 1)), self.gain,
            self.bias, self.mean, self.variance, self.chunks.measure, self.eps, self.normed, self.gates, self.states,
        )  # fmt: skip
        if self.chunks.measure:
            kept, weights, unbiased = self.norms[0].weights(self.chunks.sizes)
            means, variances = (
                np.einsum("c,clk->lk", *each) for each in ((weights, self.mean), (unbiased, self.variance))
            )
            for norm, mean, variance in zip(self.norms, means, variances, strict=True):
                norm.take(kept, mean, variance, len(self.chunks))
        return self.states[-1]

    def backward(self, grad: np.ndarray, gradients: Gradients) -> np.ndarray:
        """(B, width) gradient of the result, overwritten, to (B, 2 width) of the first linear map's output."""
        n_groups, dtype = self.chunks.n_groups, self.gain.dtype
        grad_hidden = unset((len(grad), 2 * grad.shape[1]), dtype)
        grad_linear = zeros((n_groups, *self.linear.shape), dtype)
        grad_gain, grad_bias = np.zeros((2, n_groups, *self.gain.shape), dtype)
        run_tasks(
            gated_backward, n_groups,
            self.chunks.per_group, self.chunks.first_rows, self.linear, self.gain, self.bias, self.variance,
            self.chunks.measure, self.eps, self.normed, self.gates, self.states, grad, grad_hidden, grad_linear,
            grad_gain, grad_bias,
        )  # fmt: skip
        for layer, total in zip(self.later, grad_linear.sum(0), strict=True):
            gradients.add(layer.weight, total)
        for norm, gain, bias in zip(self.norms, grad_gain.sum(0), grad_bias.sum(0), strict=True):
            norm.add(gradients, gain, bias)
        return grad_hidden
