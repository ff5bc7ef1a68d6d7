"""Batch norm over the genes, as a scale and a shift of stored values."""

from __future__ import annotations

import numpy as np
from torch import nn

from ._arrays import Gradients
from ._csr import column_moments
from ._jit import run_tasks
from ._norm import Norm
from ._stored import Stored

_STRIPE = 1024


class InputNorm:
    """``x * scale + shift`` in place of batch norm over the genes; nothing at all where genes are not centred.

    Parameters
    ----------
    part
        The network's input norm.
    stored
        The minibatch.
    training
        Take the statistics from the minibatch, if it has two rows or more.
    """

    def __init__(self, part: nn.Module, stored: Stored, *, training: bool) -> None:
        self.identity = isinstance(part, nn.Identity)
        if self.identity:
            return
        self.norm = Norm(part.bn)
        self.mean, variance = self.norm.mean, self.norm.variance
        if training and stored.n_rows >= 2:
            self.mean, variance = np.empty((2, len(variance)), variance.dtype)
            n_tasks = -(-len(variance) // _STRIPE)
            run_tasks(
                column_moments,
                n_tasks,
                _STRIPE,
                stored.n_rows,
                stored.columns.starts,
                stored.columns.values,
                self.mean,
                variance,
            )
            self.norm.update(self.mean[None], variance[None], np.array([stored.n_rows]))
        self.rstd = 1 / np.sqrt(variance + variance.dtype.type(self.norm.eps))
        self.scale = self.norm.gain * self.rstd
        self.shift = self.norm.bias - self.mean * self.scale

    def backward(self, grad_scale: np.ndarray, grad_shift: np.ndarray, gradients: Gradients) -> None:
        """Pass the gradients of scale and shift on to weight and bias."""
        self.norm.add(gradients, *self.grads(grad_scale, grad_shift))

    def grads(self, grad_scale: np.ndarray, grad_shift: np.ndarray) -> list[np.ndarray]:
        """Gradients of weight and bias; none where genes are not centred."""
        return [] if self.identity else [self.rstd * (grad_scale - self.mean * grad_shift), grad_shift]
