"""From what the steps of networks did to one mask for each cell: the share of each feature in its call."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor

from ._rows import SparseRows


class Steps(NamedTuple):
    """What the steps of one network did with B cells, as tensors.

    Attributes
    ----------
    decisions
        (S, B, n_d), non-negative: what each step adds to the embedding.
    masks
        Mask (B, p) of each step.
    """

    decisions: Tensor
    masks: Sequence[Tensor] | Sequence[SparseRows]

    def join(self, weights: Tensor) -> Tensor | SparseRows:
        """(B, p) sum of the masks, weighted (S, B)."""
        return weighted_sum(self.masks, weights)


def size_shares(decisions: Tensor, *_: Tensor) -> Tensor:
    """Share of each step in the size of its network's embedding; all networks alike (Arik and Pfister, AAAI 2021).

    Takes and returns what :func:`class_shares` does; neither output layers nor classes count.
    """
    return _shares(_exact(decisions).sum(-1), (1,)) / len(decisions)


def class_shares(decisions: Tensor, heads: Tensor, called: Tensor) -> Tensor:
    """How much each step speaks for the class that a cell is called.

    A step adds ``W_c d`` to the logit of class c. What counts is how far it lifts the called class above the mean of
    all classes, since a lift of all of them changes no probability. Steps that speak against it have no share.

    Parameters
    ----------
    decisions
        (n_networks, S, B, n_d), non-negative.
    heads
        (n_networks, n_classes, n_d) weights of the output layers.
    called
        (B,) class of each cell.

    Returns
    -------
    (n_networks, S, B), non-negative, sums to 1 over networks and steps; equal where no step speaks for the class.
    """
    decisions, heads = _exact(decisions), _exact(heads)
    heads = heads - heads.mean(1, keepdim=True)
    return _shares((decisions * heads[:, called].unsqueeze(1)).sum(-1).clamp_min(0), (0, 1))


def _exact(values: Tensor) -> Tensor:
    """The same in single precision at least."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def _shares(weights: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Weights over their sum along some dimensions, equal ones where they are all zero."""
    total = weights.sum(dims, keepdim=True)
    silent = total == 0
    n_equal = math.prod(weights.shape[dim] for dim in dims)
    return weights / total.masked_fill(silent, 1) + silent / n_equal


SHARES: dict[str, Callable[..., Tensor]] = {"size": size_shares, "class": class_shares}
"""By what masks are averaged."""


def weighted_sum(masks: Sequence[Tensor] | Sequence[SparseRows], weights: Tensor) -> Tensor | SparseRows:
    """(B, p) sum of masks, sparse where they are.

    Parameters
    ----------
    masks
        (B, p) each.
    weights
        (n_masks, B).
    """
    sparse = [each for each in masks if isinstance(each, SparseRows)]
    if sparse:
        return _sum_of_rows(sparse, weights)
    dense = (each for each in masks if isinstance(each, Tensor))
    return reduce(torch.add, (weight.unsqueeze(1) * each for each, weight in zip(dense, weights, strict=True)))


def _sum_of_rows(parts: Sequence[SparseRows], weights: Tensor) -> SparseRows:
    n_rows, n_columns = parts[0].shape
    row_ids = [each.row_ids() for each in parts]
    places = torch.cat(
        [torch.stack([ids, each.indices.long()]) for ids, each in zip(row_ids, parts, strict=True)], dim=1
    )
    scaled = zip(parts, row_ids, weights, strict=True)
    values = torch.cat([each.values * weight.to(each.dtype)[ids] for each, ids, weight in scaled])
    total = torch.sparse_coo_tensor(places, values, (n_rows, n_columns), check_invariants=False).coalesce()
    rows, columns = total.indices()
    indptr = torch.searchsorted(rows.contiguous(), torch.arange(n_rows + 1, device=rows.device))
    return SparseRows(indptr, columns.to(torch.int32), total.values(), n_columns)
