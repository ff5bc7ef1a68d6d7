"""The wide operations in plain torch: what the kernels compute, for where they cannot run.

`_triton_ops` offers the same functions. B is the number of cells, p of features, K of chunks, D the width of a hidden
layer. Nothing here waits for the device.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from sims_tools.nn._selectors import entmax15, select_among, sparsemax

from ._chunks import Chunks
from ._pattern import Entries

LOG_FLOOR = 1e-15
SELECTOR_OF_POWER = {1: sparsemax, 2: entmax15}


class Selected(NamedTuple):
    """What a selector chose for B rows.

    Attributes
    ----------
    mask
        (B, p), each row sums to 1.
    next_prior
        (B, p) ``prior * (gamma - mask)``, or None where no step follows.
    entropy
        (B,) of each row, in nats.
    """

    mask: Tensor
    next_prior: Tensor | None
    entropy: Tensor


class Upstream(NamedTuple):
    """Gradients that reach a mask, each None where there is none.

    Attributes
    ----------
    mask
        (B, p) of the mask itself.
    next_prior
        (B, p) of the prior of the next step.
    entropy
        (B,) of the rows' entropies.
    """

    mask: Tensor | None
    next_prior: Tensor | None
    entropy: Tensor | None


class Normed(NamedTuple):
    """What the backward pass of a batch norm returns.

    Attributes
    ----------
    grad
        (B, p) gradient of the norm's input.
    total
        (K, p) sum of the upstream gradient over each chunk.
    along
        (K, p) sum of its product with the centred scores.
    """

    grad: Tensor
    total: Tensor
    along: Tensor


def product(entries: Entries, table: Tensor, mask: Tensor | None) -> Tensor:
    """Sum of rows of `table`, weighted with the entries of each line.

    Parameters
    ----------
    entries
        n lines.
    table
        (n_others, D).
    mask
        (n, n_others) factor of each entry, any strides. None stands for ones.

    Returns
    -------
    (n, D).
    """
    weights = entries.values if mask is None else entries.values * mask[entries.lines, entries.others]
    starts = entries.starts.to(entries.others.dtype)
    return F.embedding_bag(
        entries.others, table, starts, mode="sum", per_sample_weights=weights, include_last_offset=True
    )


def add_sampled(out: Tensor, entries: Entries, left: Tensor, table: Tensor, mask: Tensor) -> None:
    """Add ``value * <left[row], table[column]>`` to `out` at the stored entries, in place.

    Where `mask` is zero a kernel may skip an entry: a selector's gradient does not look there.

    Parameters
    ----------
    out
        (B, p), contiguous.
    entries
        B rows.
    left
        (B, D).
    table
        (p, D).
    mask
        (B, p).
    """
    lines, others = entries.lines, entries.others
    out[lines, others] += entries.values * (left @ table.t())[lines, others]


def second_moment(scores: Tensor, chunks: Chunks) -> Tensor:
    """(K, p) mean square over the rows of each chunk, of scores (B, p)."""
    return torch.cat([torch.linalg.vector_norm(view, dim=1).square() / view.shape[1] for view in chunks.views(scores)])


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
    """Mask of ``prior * (scores * scale + bias)``.

    Parameters
    ----------
    scores
        (B, p).
    scale
        (K, p) factor for the rows of each chunk. None stands for ones.
    bias
        (p,). None stands for zeros; given where `scale` is.
    prior
        (B, p). None stands for ones.
    chunks
        Of the rows, given where `scale` is.
    power
        1 for sparsemax, 2 for entmax15.
    gamma
        See :class:`TabNet`.
    limit
        Most features of a row, see :func:`keep_largest`.
    allowed
        (B, p) features that may be selected, some in each row; None for all.
    go_on
        Compute the prior of the next step.

    Returns
    -------
    See :class:`Selected`.
    """
    y = affine(scores, scale, bias, chunks)
    mask = select_among(SELECTOR_OF_POWER[power], y if prior is None else y * prior, allowed, limit)
    entropy = -(mask * (mask + LOG_FLOOR).log()).sum(1)
    return Selected(mask, next_prior(prior, mask, gamma) if go_on else None, entropy)


def next_prior(prior: Tensor | None, mask: Tensor, gamma: float) -> Tensor:
    """(B, p): how much of each feature a mask leaves of the prior, None of which stands for ones."""
    return gamma - mask if prior is None else prior * (gamma - mask)


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
    """Gradient of :func:`select`.

    Parameters
    ----------
    mask
        (B, p), what was selected.
    upstream
        Gradients of the results.
    scores
        As in the forward pass; needed, as are `scale` and `bias`, where there is a prior.
    scale
        As in the forward pass.
    bias
        As in the forward pass.
    prior
        As in the forward pass.
    chunks
        As in the forward pass.
    power
        As in the forward pass.
    gamma
        As in the forward pass.

    Returns
    -------
    (B, p) gradient of ``scores * scale + bias``, and (B, p) gradient of the prior, None without one.
    """
    grad = torch.zeros_like(mask) if upstream.mask is None else upstream.mask
    if upstream.entropy is not None:
        floored = mask + LOG_FLOOR
        grad = grad - upstream.entropy[:, None] * (floored.log() + mask / floored)
    if upstream.next_prior is not None:
        grad = grad - (upstream.next_prior if prior is None else upstream.next_prior * prior)
    root = (mask > 0).to(mask.dtype) if power == 1 else mask.sqrt()
    weighted = root * grad
    inner = weighted - root * (weighted.sum(1, keepdim=True) / root.sum(1, keepdim=True))
    if prior is None or scores is None:
        return inner, None
    grad_prior = inner * affine(scores, scale, bias, chunks)
    if upstream.next_prior is not None:
        grad_prior = grad_prior + upstream.next_prior * (gamma - mask)
    return inner * prior, grad_prior


def norm_backward(grad: Tensor, scores: Tensor, scale: Tensor, rstd: Tensor, chunks: Chunks) -> Normed:
    """Gradient of batch norm within chunks.

    Parameters
    ----------
    grad
        (B, p) upstream gradient; may be overwritten.
    scores
        (B, p), centred in each chunk.
    scale
        (K, p) `rstd` times the norm's weight.
    rstd
        (K, p) one over the standard deviation.
    chunks
        Of the rows.

    Returns
    -------
    See :class:`Normed`.
    """
    pairs = list(zip(chunks.views(grad), chunks.views(scores), strict=True))
    total = torch.cat([upstream.sum(1) for upstream, _ in pairs])
    along = torch.cat([(upstream * centred).sum(1) for upstream, centred in pairs])
    lengths, chunk = chunks.lengths(scores), chunks.of_row(scores.device)
    inner = grad - (total / lengths)[chunk] - scores * (along / lengths * rstd.square())[chunk]
    return Normed(scale[chunk] * inner, total, along)


def affine(scores: Tensor, scale: Tensor | None, bias: Tensor | None, chunks: Chunks | None) -> Tensor:
    """(B, p) ``scores * scale + bias``."""
    if scale is None or bias is None or chunks is None:
        return scores
    return torch.addcmul(bias, scores, scale[chunks.of_row(scores.device)])
