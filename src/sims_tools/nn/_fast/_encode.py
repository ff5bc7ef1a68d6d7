"""The fast path as autograd sees it: one function from the parameters to the embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from sims_tools.nn._output import Encoded
from sims_tools.nn._rows import SparseRows

from ._pass import Pass


class _Encode(Function):
    @staticmethod
    def forward(ctx: Any, work: Pass, parameters: list[Tensor], *_: Tensor) -> tuple[Tensor, Tensor]:
        ctx.work, ctx.parameters = work, parameters
        ctx.versions = [each._version for each in parameters]
        embedding = torch.from_numpy(work.forward())
        return embedding, embedding.new_tensor(work.entropy)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_embedding: Tensor, grad_entropy: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.versions != [each._version for each in ctx.parameters]:
            raise RuntimeError(
                "Weights were changed in place between the forward and the backward pass; "
                "run `backward()` before the optimiser."
            )
        gradients = ctx.work.backward(np.ascontiguousarray(grad_embedding.numpy()), float(grad_entropy))
        return None, None, *gradients.tensors(ctx.parameters)


def encode(network: Any, rows: SparseRows, *, explain: bool = False, keep_steps: bool = False) -> Encoded:
    """Everything of TabNet but its head, for features as they are stored.

    Parameters
    ----------
    network
        A :class:`~sims_tools.nn.TabNet` on the CPU, in float32 or float64. In training mode its running statistics are
        updated.
    rows
        (B, p) features in the same precision; no gradient is passed to them.
    explain
        Return the masks averaged over the steps.
    keep_steps
        Return the mask of each step.

    Returns
    -------
    Embedding and entropy, differentiable once in the parameters, and masks, which are not differentiable.
    """
    parameters = [each for name, each in network.named_parameters() if not name.startswith("head.")]
    work = Pass(network, rows, keep=torch.is_grad_enabled() and any(each.requires_grad for each in parameters))
    embedding, entropy = _Encode.apply(work, parameters, *parameters)
    masks = work.explanation() if explain else None
    return Encoded(embedding, entropy, masks, work.step_masks() if keep_steps else None)
