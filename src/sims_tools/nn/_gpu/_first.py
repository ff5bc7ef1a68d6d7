"""The linear maps that are as wide as the features, with the norm of the features folded into them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor, nn

from sims_tools.nn._feature_transformer import FeatureTransformer
from sims_tools.nn._ghost_norm import GhostBatchNorm
from sims_tools.nn._rows import SparseRows

from ._chunks import Ghosts
from ._hidden import after_first
from ._norm import Affine, Running
from ._pattern import Pattern
from ._sparse_linear import masked_linear, sparse_linear

if TYPE_CHECKING:
    from sims_tools.nn._tabnet import TabNet


class FirstLinear:
    """First linear map of a feature transformer, read from sparse features.

    ``((x * gain + shift) * mask) W^T = (x * mask) table + mask offset``, where x is sparse.

    Parameters
    ----------
    weight
        (D, p), W.
    affine
        Of the features, None where they are read as they come.
    """

    def __init__(self, weight: Tensor, affine: Affine | None) -> None:
        self.table = (weight if affine is None else weight * affine.gain).t().contiguous()
        self.constant = None if affine is None else weight @ affine.shift
        self.offset = None if affine is None else (weight * affine.shift).t().contiguous()

    def __call__(self, pattern: Pattern, mask: Tensor | None) -> Tensor:
        """(B, D) of a minibatch, seen through a mask (B, p) if there is one."""
        if mask is not None:
            return masked_linear(pattern, mask, self.table, self.offset)
        h = sparse_linear(pattern, self.table)
        return h if self.constant is None else h + self.constant


class Reader(NamedTuple):
    """A feature transformer that reads sparse features.

    Attributes
    ----------
    transformer
        The network's.
    first
        Its first linear map.
    later
        Its other linear maps, shared ones first.
    """

    transformer: FeatureTransformer
    first: FirstLinear
    later: Sequence[nn.Module]

    def __call__(self, pattern: Pattern, mask: Tensor | None, ghosts: Ghosts) -> Tensor:
        """(B, n_hidden) of a minibatch, seen through a mask (B, p) if there is one."""
        return after_first(self.transformer, self.first(pattern, mask), self.later, ghosts)


def readers(network: TabNet, rows: SparseRows) -> list[Reader]:
    """The splitter and the transformers of all steps, over the features of one batch.

    Parameters
    ----------
    network
        In training mode the running statistics of its input's norm move.
    rows
        The batch; not read in evaluation.

    Returns
    -------
    `n_steps` + 1 readers, the splitter first.
    """
    affine = _affine(network.input_norm, rows)
    transformers = cast("list[FeatureTransformer]", [network.splitter, *network.transformers])
    chains = [cast("list[nn.Linear]", [*network.shared, *transformer.linears]) for transformer in transformers]
    unique = {id(first): first.weight for first, *_ in chains}
    firsts = {key: FirstLinear(weight, affine) for key, weight in unique.items()}
    return [
        Reader(transformer, firsts[id(first)], later)
        for transformer, (first, *later) in zip(transformers, chains, strict=True)
    ]


def _affine(norm: nn.Module, rows: SparseRows) -> Affine | None:
    """Batch norm of the features; a batch of fewer than two rows takes the running statistics and leaves them."""
    if not isinstance(norm, GhostBatchNorm):
        return None
    running, n = Running.of(norm.bn), rows.n_rows
    if n < 2 or not norm.training:
        return Affine.of(norm.bn, running.mean, running.variance)
    mean, variance = _column_statistics(rows)
    with torch.no_grad():
        running.mean.lerp_(mean, running.momentum)
        running.variance.lerp_(variance * (n / (n - 1)), running.momentum)
        running.n_batches.add_(1)
    return Affine.of(norm.bn, mean, variance)


def _column_statistics(rows: SparseRows) -> tuple[Tensor, Tensor]:
    """(p,) mean and biased variance; summed in float64, where squares minus squared mean lose nothing that matters."""
    values = rows.values.double()
    powers = torch.stack([values, values.square()], dim=1)
    sums = values.new_zeros(rows.n_columns, 2).index_add_(0, rows.indices, powers) / rows.n_rows
    mean = sums[:, 0]
    variance = (sums[:, 1] - mean.square()).clamp_(min=0)
    return mean.to(rows.dtype), variance.to(rows.dtype)
