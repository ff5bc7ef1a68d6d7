"""Selectors: maps from scores to the simplex that can give exact zeros, with exact gradients.

Both solve ``sum_j [z_j - tau]_+^k = 1`` for the threshold tau in closed form once the support (where the result is
positive) is known, and both find the support with one sort: the sum falls as tau rises, so score z_i is above tau
exactly where the sum taken at tau = z_i is below 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

Selector = Callable[[Tensor], Tensor]


def sparsemax(z: Tensor) -> Tensor:
    """Euclidean projection of scores onto the simplex, along the last dimension.

    The result is ``[z - tau]_+`` with tau such that it sums to 1 (Martins and Astudillo, ICML 2016, arXiv:1602.02068).

    Parameters
    ----------
    z
        (..., p) scores, p >= 1. Half precision is computed, and returned, in float32. A score of -inf is never chosen.

    Returns
    -------
    (..., p), non-negative, sums to 1 along the last dimension. A row with NaN or +inf, or with nothing but -inf,
    becomes NaN throughout. Differentiable once.
    """
    return _Sparsemax.apply(_full_precision(z))


def entmax15(z: Tensor) -> Tensor:
    """1.5-entmax of scores along the last dimension: between softmax and sparsemax.

    The result is ``[z / 2 - tau]_+^2`` with tau such that it sums to 1 (Peters, Niculae and Martins, ACL 2019,
    arXiv:1905.05702).

    Parameters
    ----------
    z
        (..., p) scores, p >= 1. Half precision is computed, and returned, in float32. A score of -inf is never chosen.

    Returns
    -------
    (..., p), non-negative, sums to 1 along the last dimension. A row with NaN or +inf, or with nothing but -inf,
    becomes NaN throughout. Differentiable once.
    """
    return _Entmax15.apply(_full_precision(z))


SELECTORS: dict[str, Selector] = {"sparsemax": sparsemax, "entmax15": entmax15}
"""Selectors by name."""


def get_selector(name: str) -> Selector:
    """Selector of that name.

    Parameters
    ----------
    name
        A key of :data:`SELECTORS`.

    Returns
    -------
    Function from (..., p) scores to (..., p) shares.
    """
    if name not in SELECTORS:
        raise ValueError(f"Unknown selector {name!r}. Choose one of: {', '.join(map(repr, SELECTORS))}.")
    return SELECTORS[name]


def keep_largest(z: Tensor, limit: int) -> Tensor:
    """The largest scores of each row, -inf in place of the others: a selector of these holds few features.

    Parameters
    ----------
    z
        (..., p) scores.
    limit
        How many to keep, at least 1. Those that equal the smallest of them are kept as well.

    Returns
    -------
    (..., p).
    """
    if limit >= z.shape[-1]:
        return z
    smallest = z.detach().topk(limit, dim=-1).values[..., -1:]
    return z.masked_fill(z < smallest, -torch.inf)


def select_among(selector: Selector, z: Tensor, allowed: Tensor | None, limit: int) -> Tensor:
    """Selector over the largest scores of each row, or of those that are allowed.

    Parameters
    ----------
    selector
        One of :data:`SELECTORS`.
    z
        (..., p) scores.
    allowed
        (..., p) bool: the others are never chosen. None allows all.
    limit
        See :func:`keep_largest`.

    Returns
    -------
    (..., p) as the selector returns it; a row where nothing is allowed is zero.
    """
    if allowed is None:
        return selector(keep_largest(z, limit))
    silent = ~allowed.any(-1, keepdim=True)
    z = z.masked_fill(~(allowed | silent), -torch.inf)
    return selector(keep_largest(z, limit)).masked_fill(silent, 0)


class _Sparsemax(Function):
    """Jacobian on a support of n features: I - 11^T / n; zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        shifted = _below_maximum(z)
        ordered = shifted.sort(dim=-1, descending=True).values
        above = ordered.cumsum(-1) - _ranks(ordered) * ordered
        support = _support(shifted, ordered, above)
        n = support.sum(-1, keepdim=True)
        tau = (torch.where(support, shifted, 0.0).sum(-1, keepdim=True) - 1) / n
        shares = (shifted - tau).clamp_(min=0)
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (shares,) = ctx.saved_tensors
        support = (shares > 0).to(grad.dtype)
        mean = (support * grad).sum(-1, keepdim=True) / support.sum(-1, keepdim=True)
        return support * (grad - mean)


class _Entmax15(Function):
    """Jacobian with r = sqrt(result): diag(r) - rr^T / sum(r); zero off the support because r is."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        shifted = _below_maximum(z / 2)
        ordered = shifted.sort(dim=-1, descending=True).values
        squares, sums = ordered.square().cumsum(-1), ordered.cumsum(-1)
        above = squares - ordered * (2 * sums - _ranks(ordered) * ordered)
        support = _support(shifted, ordered, above)
        n = support.sum(-1, keepdim=True)
        mean = torch.where(support, shifted, 0.0).sum(-1, keepdim=True) / n
        scatter = torch.where(support, shifted - mean, 0.0).square().sum(-1, keepdim=True)
        tau = mean - ((1 - scatter).clamp(min=0) / n).sqrt()  # n (mean - tau)^2 + scatter = 1
        shares = (shifted - tau).clamp_(min=0).square_()
        ctx.save_for_backward(shares)
        return shares

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (shares,) = ctx.saved_tensors
        root = shares.sqrt()
        weighted = root * grad
        return weighted - root * (weighted.sum(-1, keepdim=True) / root.sum(-1, keepdim=True))


def _full_precision(z: Tensor) -> Tensor:
    """Z in float32, or in float64 if it is so already."""
    if z.ndim == 0 or z.shape[-1] == 0:
        raise ValueError(f"A selector needs at least one score per row, found a tensor of shape {tuple(z.shape)}.")
    return z if z.dtype == torch.float64 else z.float()


def _below_maximum(z: Tensor) -> Tensor:
    """Scores minus the row's maximum, at least -1.

    The largest share is at most 1, so tau is at least -1 and what lies lower stays at zero: clamping changes nothing,
    and keeps the running sums exact for scores of any size. A row without a finite maximum becomes NaN.
    """
    top = z.amax(-1, keepdim=True)
    return (z - top.masked_fill(top.isinf(), torch.nan)).clamp_(min=-1)


def _ranks(ordered: Tensor) -> Tensor:
    return torch.arange(1, ordered.shape[-1] + 1, dtype=ordered.dtype, device=ordered.device)


def _support(shifted: Tensor, ordered: Tensor, above: Tensor) -> Tensor:
    """Boolean (..., p): scores in the support, those where the sum `above` them (in sorted order) is below 1."""
    last = (above < 1).sum(-1, keepdim=True).clamp_(min=1) - 1  # NaN compares false: keep the index valid
    return shifted >= ordered.gather(-1, last)
