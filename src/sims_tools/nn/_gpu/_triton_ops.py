"""The wide operations as Triton kernels, with the signatures and results of `_torch_ops`."""

from __future__ import annotations

from typing import Any

import torch
import triton  # type: ignore[import-not-found,unused-ignore]
from torch import Tensor

from sims_tools.nn._selectors import keep_largest

from ._chunks import Chunks
from ._mask_kernels import select_backward_kernel, select_kernel
from ._norm_kernels import norm_backward_kernel, second_moment_kernel
from ._pattern import Entries
from ._sparse_kernels import add_sampled_kernel, product_kernel
from ._torch_ops import Normed, Selected, Upstream, affine, next_prior

BLOCK_ENTRIES, MAX_BLOCK_WIDTH = 32, 128
MAX_BLOCK_COLUMNS = 2048
NORM_BLOCK_ROWS, MAX_NORM_BLOCK_COLUMNS = 16, 64


def product(entries: Entries, table: Tensor, mask: Tensor | None) -> Tensor:
    """See `_torch_ops`."""
    n_lines, width = len(entries.starts) - 1, table.shape[1]
    out = table.new_empty(n_lines, width)
    strides = (0, 0) if mask is None else mask.stride()
    block = _block(width, MAX_BLOCK_WIDTH)
    with torch.cuda.device_of(table):
        product_kernel[n_lines, triton.cdiv(width, block)](
            *entries, mask, *strides, table, out, width, BLOCK_ENTRIES=BLOCK_ENTRIES, BLOCK_WIDTH=block
        )
    return out


def add_sampled(out: Tensor, entries: Entries, left: Tensor, table: Tensor, mask: Tensor) -> None:
    """See `_torch_ops`."""
    n_rows, n_columns = out.shape
    width = table.shape[1]
    with torch.cuda.device_of(out):
        add_sampled_kernel[n_rows,](
            *entries, mask, left, table, out, n_columns, width,
            BLOCK_ENTRIES=BLOCK_ENTRIES, BLOCK_WIDTH=_block(width, MAX_BLOCK_WIDTH),
        )  # fmt: skip


def second_moment(scores: Tensor, chunks: Chunks) -> Tensor:
    """See `_torch_ops`."""
    n_rows, n_columns = scores.shape
    out = scores.new_empty(chunks.count, n_columns)
    block = _block(n_columns, MAX_NORM_BLOCK_COLUMNS)
    with torch.cuda.device_of(scores):
        second_moment_kernel[triton.cdiv(n_columns, block), chunks.count](
            scores, out, n_rows, n_columns, chunks.size, BLOCK_ROWS=NORM_BLOCK_ROWS, BLOCK_COLUMNS=block
        )
    return out


def select(
    scores: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    prior: Tensor | None,
    *,
    chunks: Chunks | None,
    power: int,
    gamma: float,
    limit: int,
    allowed: Tensor | None,
    go_on: bool,
) -> Selected:
    """See `_torch_ops`."""
    how: dict[str, Any] = {"chunks": chunks, "power": power, "gamma": gamma}
    if limit >= scores.shape[1] and allowed is None:
        return _select(scores, scale, bias, prior, go_on=go_on, **how)
    y = affine(scores, scale, bias, chunks)
    y = y if prior is None else y * prior
    y = keep_largest(y if allowed is None else y.masked_fill(~allowed, -torch.inf), limit)
    selected = _select(y, None, None, None, go_on=False, **how)
    return selected._replace(next_prior=next_prior(prior, selected.mask, gamma) if go_on else None)


def _select(
    scores: Tensor,
    scale: Tensor | None,
    bias: Tensor | None,
    prior: Tensor | None,
    *,
    chunks: Chunks | None,
    power: int,
    gamma: float,
    go_on: bool,
) -> Selected:
    """Of any number of features."""
    n_rows, n_columns = scores.shape
    mask = torch.empty_like(scores)
    left = torch.empty_like(scores) if go_on else None
    entropy = scores.new_empty(n_rows)
    with torch.cuda.device_of(scores):
        select_kernel[n_rows,](
            scores, scale, bias, prior, mask, left, entropy, n_columns, *_cut(chunks, n_rows),
            GAMMA=gamma, POWER=power, BLOCK=_block(n_columns, MAX_BLOCK_COLUMNS), num_warps=8,
        )  # fmt: skip
    return Selected(mask, left, entropy)


def select_backward(
    mask: Tensor,
    upstream: Upstream,
    scores: Tensor | None,
    scale: Tensor | None,
    bias: Tensor | None,
    prior: Tensor | None,
    *,
    chunks: Chunks | None,
    power: int,
    gamma: float,
) -> tuple[Tensor, Tensor | None]:
    """See `_torch_ops`."""
    n_rows, n_columns = mask.shape
    grad_scores = torch.empty_like(mask)
    grad_prior = None if prior is None or scores is None else torch.empty_like(mask)
    with torch.cuda.device_of(mask):
        select_backward_kernel[n_rows,](
            mask, scores, scale, bias, prior, *upstream, grad_scores, grad_prior, n_columns,
            *_cut(chunks, n_rows), GAMMA=gamma, POWER=power, BLOCK=_block(n_columns, MAX_BLOCK_COLUMNS), num_warps=8,
        )  # fmt: skip
    return grad_scores, grad_prior


def norm_backward(grad: Tensor, scores: Tensor, scale: Tensor, rstd: Tensor, chunks: Chunks) -> Normed:
    """See `_torch_ops`."""
    n_rows, n_columns = scores.shape
    total, along = torch.empty_like(rstd), torch.empty_like(rstd)
    block = _block(n_columns, MAX_NORM_BLOCK_COLUMNS)
    with torch.cuda.device_of(scores):
        norm_backward_kernel[triton.cdiv(n_columns, block), chunks.count](
            grad, scores, scale, rstd, total, along, n_rows, n_columns, chunks.size,
            BLOCK_ROWS=NORM_BLOCK_ROWS, BLOCK_COLUMNS=block,
        )  # fmt: skip
    return Normed(grad, total, along)


def _cut(chunks: Chunks | None, n_rows: int) -> tuple[int, int]:
    """Rows per chunk and the last chunk's number."""
    return (n_rows, 0) if chunks is None else (chunks.size, chunks.count - 1)


def _block(size: int, largest: int) -> int:
    """Power of two that covers `size`, up to `largest`."""
    return min(triton.next_power_of_2(size), largest)
