"""Minibatches in pieces of cells, so that the memory of self-attention stays bounded."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

_BUDGET = {"cpu": 1 << 28, "cuda": 1 << 32}
"""Bytes that the tokens of one piece may take in a forward pass with what its gradient needs, by device."""


def piece_bounds(lengths: Sequence[int], per_token: int, per_pair: int, device: str) -> list[slice]:
    """Cut a minibatch into pieces of cells that fit into memory one after the other.

    Parameters
    ----------
    lengths
        Tokens of each cell, rising: those of a piece are padded to its last.
    per_token, per_pair
        Bytes that a token takes, and a pair of tokens of one cell.
    device
        "cpu" or "cuda"; any other counts as the first.

    Returns
    -------
    Consecutive slices of the cells. A cell that does not fit has a piece of its own.
    """
    budget, bounds, start = _BUDGET.get(device, _BUDGET["cpu"]), [], 0
    for position, length in enumerate(lengths):
        if position > start and (position - start + 1) * length * (per_token + per_pair * length) > budget:
            bounds.append(slice(start, position))
            start = position
    return [*bounds, slice(start, len(lengths))] if len(lengths) else []


def shortest_first(present: Tensor) -> tuple[Tensor, list[int]]:
    """Cells (B, p) in the order of how many of their tokens there are, and these numbers; cells without any left out.

    Parameters
    ----------
    present
        (B, p) bool.

    Returns
    -------
    Positions (n_filled,) and, in the same order, numbers of tokens.
    """
    lengths, order = present.sum(1).sort(stable=True)
    n_empty = int((lengths == 0).sum())
    return order[n_empty:], lengths[n_empty:].tolist()
