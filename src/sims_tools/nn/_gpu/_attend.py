"""One step's mask: linear map to p scores, batch norm of them, prior, selector."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable
from torch.nn import BatchNorm1d

from sims_tools.nn._attentive import AttentiveTransformer
from sims_tools.nn._selectors import Selector, entmax15, sparsemax

from ._chunks import Chunks, Ghosts
from ._norm import Affine, Running
from ._ops import ops_for
from ._torch_ops import Selected, Upstream

POWERS: dict[Selector, int] = {sparsemax: 1, entmax15: 2}
"""k of each selector's equation ``sum_j [z_j - tau]_+^k = 1``."""


class _Plan(NamedTuple):
    """What has no gradient; `chunks` and `norm` are None where the norm is folded into the weights."""

    power: int
    gamma: float
    limit: int
    go_on: bool
    allowed: Tensor | None = None
    chunks: Chunks | None = None
    norm: tuple[BatchNorm1d, Ghosts] | None = None

    @property
    def selector(self) -> dict[str, Any]:
        return {"power": self.power, "gamma": self.gamma, "chunks": self.chunks}


def attend(
    attentive: AttentiveTransformer,
    attention: Tensor,
    prior: Tensor | None,
    *,
    ghosts: Ghosts,
    gamma: float,
    go_on: bool,
    nonzero: Tensor | None,
) -> Selected:
    """Mask of one step, the same as :class:`AttentiveTransformer` computes.

    Normalised scores exist in one buffer of cells x features, which is gone when this returns; the backward pass
    computes them again. What is kept for it is the mask and the prior.

    Parameters
    ----------
    attentive
        The step's attention. In training mode its running statistics move.
    attention
        (B, n_a) output of the step before.
    prior
        (B, p), None stands for ones.
    ghosts
        Of the batch.
    gamma
        See :class:`TabNet`.
    go_on
        Compute the prior of the next step.
    nonzero
        (B, p) bool: features that are not zero, where only these are selected; None where all may be.

    Returns
    -------
    Mask, prior of the next step, and entropy of each row.
    """
    if nonzero is not None:
        silent = ~nonzero.any(1)
        found = _attend(attentive, attention, prior, ghosts, gamma, go_on, nonzero | silent[:, None])
        mask, entropy = found.mask.masked_fill(silent[:, None], 0), found.entropy.masked_fill(silent, 0)
        return found._replace(mask=mask, entropy=entropy)
    return _attend(attentive, attention, prior, ghosts, gamma, go_on, None)


def _attend(
    attentive: AttentiveTransformer,
    attention: Tensor,
    prior: Tensor | None,
    ghosts: Ghosts,
    gamma: float,
    go_on: bool,
    allowed: Tensor | None,
) -> Selected:
    """The same where some feature of each row is allowed."""
    bn, weight = attentive.norm.bn, attentive.linear.weight
    chunks = ghosts.chunks(attentive.norm)
    plan = _Plan(POWERS[attentive.selector], gamma, attentive.limit, go_on, allowed)
    if chunks is not None:
        plan = plan._replace(chunks=chunks, norm=(bn, ghosts))
        return Selected(*_Attend.apply(attention, weight, bn.weight, bn.bias, prior, plan))
    running = Running.of(bn)
    gain, bias = Affine.of(bn, running.mean, running.variance)
    return Selected(*_Attend.apply(attention, weight * gain[:, None], None, bias, prior, plan))


class _Attend(Function):
    """The scores of a chunk with its mean taken off are ``a_c W^T``, with a_c the attention minus its chunk's mean."""

    @staticmethod
    def forward(
        ctx: Any,
        attention: Tensor,
        weight: Tensor,
        gain: Tensor | None,
        bias: Tensor,
        prior: Tensor | None,
        plan: _Plan,
    ) -> Selected:
        ops = ops_for(attention.device)
        rstd = scale = None
        if plan.chunks is not None and plan.norm is not None:
            bn, ghosts = plan.norm
            attention, mean = plan.chunks.centre(attention)
            scores = attention @ weight.t()
            variance = ops.second_moment(scores, plan.chunks)
            lengths = plan.chunks.lengths(variance)
            ghosts.update(bn, plan.chunks, mean @ weight.t(), variance * (lengths / (lengths - 1)))
            rstd = (variance + bn.eps).rsqrt()
            scale = gain * rstd
        else:
            scores = torch.addmm(bias, attention, weight.t())
        selected = ops.select(
            scores,
            scale,
            None if scale is None else bias,
            prior,
            limit=plan.limit,
            allowed=plan.allowed,
            go_on=plan.go_on,
            **plan.selector,
        )
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(attention, weight, gain, bias, prior, rstd, selected.mask)
        return selected

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if all(grad is None for grad in grads):
            return (None,) * 6
        attention, weight, gain, bias, prior, rstd, mask = ctx.saved_tensors
        plan: _Plan = ctx.plan
        ops = ops_for(mask.device)
        upstream = Upstream(*(None if grad is None else grad.contiguous() for grad in grads))
        if plan.chunks is None:
            scores = None if prior is None else torch.addmm(bias, attention, weight.t())
            grad, grad_prior = ops.select_backward(mask, upstream, scores, None, None, prior, **plan.selector)
            return grad @ weight, grad.t() @ attention, None, grad.sum(0), grad_prior, None
        scores, scale = attention @ weight.t(), gain * rstd
        grad, grad_prior = ops.select_backward(mask, upstream, scores, scale, bias, prior, **plan.selector)
        grad, total, along = ops.norm_backward(grad, scores, scale, rstd, plan.chunks)
        grad_gain = (along * rstd).sum(0)
        return grad @ weight, grad.t() @ attention, grad_gain, total.sum(0), grad_prior, None
