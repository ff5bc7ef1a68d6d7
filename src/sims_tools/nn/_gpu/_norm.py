"""Batch norm as a scale and a shift, and its running statistics."""

from __future__ import annotations

from typing import NamedTuple, Self, cast

from torch import Tensor, nn


class Running(NamedTuple):
    """Running statistics of a batch norm, the buffers themselves.

    Attributes
    ----------
    mean
        (p,).
    variance
        (p,).
    n_batches
        0-d, how many batches they have seen.
    momentum
        Weight of the newest batch.
    """

    mean: Tensor
    variance: Tensor
    n_batches: Tensor
    momentum: float

    @classmethod
    def of(cls, bn: nn.BatchNorm1d) -> Self:
        """Those of `bn`, which tracks them."""
        tensors = (bn.running_mean, bn.running_var, bn.num_batches_tracked)
        return cls(*cast("tuple[Tensor, Tensor, Tensor]", tensors), cast("float", bn.momentum))


class Affine(NamedTuple):
    """What batch norm does with given statistics, ``x * gain + shift``.

    Attributes
    ----------
    gain
        (p,).
    shift
        (p,).
    """

    gain: Tensor
    shift: Tensor

    @classmethod
    def of(cls, bn: nn.BatchNorm1d, mean: Tensor, variance: Tensor) -> Self:
        """Scale and shift of `bn` for statistics (p,), differentiable in its weight and bias."""
        gain = bn.weight * (variance + bn.eps).rsqrt()
        return cls(gain, bn.bias - mean * gain)
