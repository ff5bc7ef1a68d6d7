"""Selectors that sort only the k largest scores: what a well-written dense TabNet would use.

The k largest scores settle the threshold wherever the support is smaller than k. Where a row's support fills all k,
k is doubled for the rows that need it, until it does not: exact for supports of any size.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.autograd import Function

FIRST_K = 64


class TopK(nn.Module):
    """Stands in for pytorch-tabnet's `Sparsemax` or `Entmax15`."""

    def __init__(self, selector: str) -> None:
        super().__init__()
        self.function = {"sparsemax": Sparsemax, "entmax15": Entmax15}[selector]

    def forward(self, scores: Tensor) -> Tensor:
        return self.function.apply(scores)


class Sparsemax(Function):
    @staticmethod
    def forward(ctx, scores):
        shifted = scores - scores.amax(1, keepdim=True)
        shares = (shifted - _threshold(shifted, _sparsemax_threshold)).clamp_(min=0)
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    def backward(ctx, grad):
        (shares,) = ctx.saved_tensors
        support = shares > 0
        mean = (grad * support).sum(1, keepdim=True) / support.sum(1, keepdim=True)
        return (grad - mean) * support


class Entmax15(Function):
    @staticmethod
    def forward(ctx, scores):
        shifted = (scores - scores.amax(1, keepdim=True)) / 2
        shares = (shifted - _threshold(shifted, _entmax15_threshold)).clamp_(min=0).square_()
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    def backward(ctx, grad):
        (shares,) = ctx.saved_tensors
        root = shares.sqrt()
        grad = grad * root
        return grad - root * (grad.sum(1, keepdim=True) / root.sum(1, keepdim=True))


def _threshold(shifted: Tensor, solve, k: int = FIRST_K) -> Tensor:
    """(B, 1) threshold of rows (B, p) whose maximum is 0."""
    k = min(k, shifted.shape[1])
    tau, size = solve(shifted.topk(k, dim=1).values)
    overfull = (size == k).squeeze(1)
    if k < shifted.shape[1] and overfull.any():
        tau[overfull] = _threshold(shifted[overfull], solve, 2 * k)
    return tau


def _sparsemax_threshold(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """Threshold and support size of rows of falling scores."""
    ranks = torch.arange(1, ordered.shape[1] + 1, dtype=ordered.dtype, device=ordered.device)
    sums = ordered.cumsum(1) - 1
    size = (ranks * ordered > sums).sum(1, keepdim=True)
    return sums.gather(1, size - 1) / size, size


def _entmax15_threshold(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """Threshold and support size of rows of falling, halved scores."""
    ranks = torch.arange(1, ordered.shape[1] + 1, dtype=ordered.dtype, device=ordered.device)
    mean, square = ordered.cumsum(1) / ranks, ordered.square().cumsum(1) / ranks
    scatter = ranks * (square - mean.square())
    tau = mean - ((1 - scatter) / ranks).clamp_(min=0).sqrt()
    size = (tau <= ordered).sum(1, keepdim=True)
    return tau.gather(1, size - 1), size
