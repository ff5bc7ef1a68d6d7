"""A linear map of a sparse minibatch, with or without a mask over its features."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ._ops import ops_for
from ._pattern import Pattern


def sparse_linear(pattern: Pattern, table: Tensor) -> Tensor:
    """``x @ table`` for the minibatch x.

    Parameters
    ----------
    pattern
        B rows and p columns, no gradient.
    table
        (p, D).

    Returns
    -------
    (B, D).
    """
    return _SparseLinear.apply(pattern, table, None, None)


def masked_linear(pattern: Pattern, mask: Tensor, table: Tensor, offset: Tensor | None) -> Tensor:
    """``(mask * x) @ table + mask @ offset`` for the minibatch x.

    Parameters
    ----------
    pattern
        B rows and p columns, no gradient.
    mask
        (B, p), from a selector. Its gradient is right on its support, all that the selector's own gradient reads.
    table
        (p, D).
    offset
        (p, D), None where features are not centred and only those stored count.

    Returns
    -------
    (B, D).
    """
    return _SparseLinear.apply(pattern, table, mask, offset)


class _SparseLinear(Function):
    """Both weight gradients are products too: of the transposed pattern, and of the transposed mask."""

    @staticmethod
    def forward(ctx: Any, pattern: Pattern, table: Tensor, mask: Tensor | None, offset: Tensor | None) -> Tensor:
        out = ops_for(table.device).product(pattern.by_row, table, mask)
        if offset is not None:
            out.addmm_(mask, offset)
        ctx.pattern = pattern
        ctx.save_for_backward(table, mask, offset)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor | None, Tensor | None, Tensor | None]:
        table, mask, offset = ctx.saved_tensors
        _, needs_table, needs_mask, needs_offset = ctx.needs_input_grad
        ops, grad = ops_for(grad.device), grad.contiguous()
        grad_table = grad_mask = grad_offset = None
        if needs_table:
            grad_table = ops.product(ctx.pattern.by_column, grad, None if mask is None else mask.t())
        if needs_mask:
            grad_mask = torch.zeros_like(mask) if offset is None else grad @ offset.t()
            ops.add_sampled(grad_mask, ctx.pattern.by_row, grad, table, mask)
        if needs_offset:
            grad_offset = mask.t() @ grad
        return None, grad_table, grad_mask, grad_offset
