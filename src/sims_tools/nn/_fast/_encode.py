"""The fast path as autograd sees it: one function from the parameters to the embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from sims_tools.nn._output import Encoded
from sims_tools.nn._rows import SparseRows

from ._addresses import Weights
from ._pass import Pass
from ._side_by_side import SideBySide, suits


class _Encode(Function):
    @staticmethod
    def forward(ctx: Any, work: Pass, parameters: list[Tensor], *_: Tensor) -> tuple[Tensor, Tensor]:
        ctx.work, ctx.parameters = work, parameters
        ctx.versions = _versions(parameters)
        embedding = torch.from_numpy(work.forward())
        return embedding, embedding.new_tensor(work.entropy)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_embedding: Tensor, grad_entropy: Tensor) -> tuple[Tensor | None, ...]:
        _check_versions(ctx.versions, ctx.parameters)
        gradients = ctx.work.backward(np.ascontiguousarray(grad_embedding.numpy()), float(grad_entropy))
        return None, None, *gradients.tensors(ctx.parameters)


class _EncodeTogether(Function):
    @staticmethod
    def forward(ctx: Any, work: SideBySide, parameters: list[Tensor], *_: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.work, ctx.parameters = work, parameters
        ctx.versions = _versions(parameters)
        ctx.set_materialize_grads(False)
        embedding, entropy = work.forward()
        return torch.from_numpy(embedding), torch.from_numpy(entropy.astype(embedding.dtype)), work.decisions

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_embedding: Tensor | None, of_entropy: Tensor | None, of_decisions: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        _check_versions(ctx.versions, ctx.parameters)
        shape, dtype = ctx.work.decisions.shape, ctx.work.decisions.dtype
        grad = torch.zeros(shape, dtype=dtype) if of_decisions is None else of_decisions
        if of_embedding is not None:
            grad = grad + of_embedding.unsqueeze(1)
        entropy = torch.zeros(len(grad), dtype=dtype) if of_entropy is None else of_entropy
        return None, None, *ctx.work.backward(grad.numpy(), entropy.numpy())


def _versions(parameters: list[Tensor]) -> list[tuple[int, int]]:
    """What changes where weights are changed, or moved elsewhere."""
    return [(each._version, each.data_ptr()) for each in parameters]


def _check_versions(versions: list[tuple[int, int]], parameters: list[Tensor]) -> None:
    if versions != _versions(parameters):
        raise RuntimeError(
            "Weights were changed in place between the forward and the backward pass; run `backward()` before the "
            "optimiser."
        )


def encode(network: Any, rows: SparseRows, *, keep_steps: bool = False) -> Encoded:
    """Everything of TabNet but its head, for features as they are stored.

    Parameters
    ----------
    network
        A :class:`~sims_tools.nn.TabNet` on the CPU, in float32 or float64. In training mode its running statistics are
        updated.
    rows
        (B, p) features in the same precision; no gradient is passed to them.
    keep_steps
        Return what the steps did.

    Returns
    -------
    Embedding and entropy, differentiable once in the parameters, and steps, which are not differentiable.
    """
    parameters = [each for name, each in network.named_parameters() if not name.startswith("head.")]
    work = Pass(network, rows, keep=_wanted(parameters))
    embedding, entropy = _Encode.apply(work, parameters, *parameters)
    return Encoded(embedding, entropy, work if keep_steps else None)


def encode_together(networks: Sequence[Any], rows: SparseRows) -> tuple[Tensor, Tensor, Tensor, SideBySide] | None:
    """The same for several networks at once, or one, each in one call; None where that does not suit them.

    Parameters
    ----------
    networks
        As for :func:`encode`.
    rows
        As for :func:`encode`.

    Returns
    -------
    Embeddings (n_networks, B, n_d), entropies (n_networks,) and decisions (n_networks, S, B, n_d), differentiable once
    in the parameters; and what has decisions and masks.
    """
    if not suits(networks, rows):
        return None
    weights = [Weights(each) for each in networks]
    parameters = [each for one in weights for each in one.parameters()]
    if any(each.dtype != rows.dtype or not each.is_cpu for each in parameters):
        return None
    work = SideBySide(networks, weights, rows, keep=_wanted(parameters))
    embedding, entropy, decisions = _EncodeTogether.apply(work, parameters, *parameters)
    return embedding, entropy, decisions, work


def _wanted(parameters: list[Tensor]) -> bool:
    """Whether gradients are."""
    return torch.is_grad_enabled() and any(each.requires_grad for each in parameters)
