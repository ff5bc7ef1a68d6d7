"""The narrow layers of a feature transformer, all chunks of the batch in one operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from sims_tools.nn._feature_transformer import RESIDUAL_SCALE, FeatureTransformer
from sims_tools.nn._ghost_norm import GhostBatchNorm

from ._chunks import Chunks, Ghosts


def after_first(transformer: FeatureTransformer, h: Tensor, later: Sequence[nn.Module], ghosts: Ghosts) -> Tensor:
    """The same as :meth:`FeatureTransformer.after_first`, without a loop over chunks of equal size.

    Rows are put in the order (place in the chunk, chunk) and back: then K chunks of a layer of width w are one batch
    of K w features, of which batch norm takes the statistics at once, and all other operations go row by row.

    Parameters
    ----------
    transformer
        Its norms' running statistics move in training mode.
    h
        (B, 2 n_hidden), output of the first linear map.
    later
        Linear maps of all layers but the first, shared ones first.
    ghosts
        Of the batch.

    Returns
    -------
    (B, n_hidden).
    """
    norm, *norms = cast("list[GhostBatchNorm]", list(transformer.norms))
    chunks = ghosts.chunks(norm)
    alike = all(ghosts.chunks(each) == chunks for each in norms)  # they differ where some are frozen
    if chunks is None or chunks.count == 1 or not (chunks.equal and alike):
        return transformer.after_first(h, later)
    x = F.glu(_normalise(norm, _swap(h, chunks.count), chunks, ghosts), dim=1)
    for layer, norm in zip(later, norms, strict=True):
        x = (x + F.glu(_normalise(norm, layer(x), chunks, ghosts), dim=1)) * RESIDUAL_SCALE
    return _swap(x, chunks.size)


def _swap(x: Tensor, n_slow: int) -> Tensor:
    """Rows ordered as (i, j), with `n_slow` values of i, in the order (j, i)."""
    return x.view(n_slow, len(x) // n_slow, -1).transpose(0, 1).flatten(0, 1)


def _normalise(norm: GhostBatchNorm, x: Tensor, chunks: Chunks, ghosts: Ghosts) -> Tensor:
    """Ghost batch norm of rows (B, w) in the order (place in the chunk, chunk)."""
    bn, count = norm.bn, chunks.count
    width = count * x.shape[1]
    mean, variance = x.new_zeros(2, width)  # with momentum 1 they become the statistics of the batch
    normalised = F.batch_norm(
        x.view(chunks.size, width), mean, variance, bn.weight.repeat(count), bn.bias.repeat(count),
        training=True, momentum=1.0, eps=bn.eps,
    )  # fmt: skip
    ghosts.update(bn, chunks, mean.view(count, -1), variance.view(count, -1))
    return normalised.view(x.shape)
