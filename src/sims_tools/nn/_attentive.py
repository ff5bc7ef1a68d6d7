"""The part of TabNet that chooses the features of a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ._ghost_norm import GhostBatchNorm
from ._linear import linear
from ._selectors import get_selector, select_among


class AttentiveTransformer(nn.Module):
    """Mask over features, ``selector(prior * norm(linear(a)))`` (Arik and Pfister, AAAI 2021, arXiv:1908.07442).

    Parameters
    ----------
    n_a
        Width of the attention input.
    n_input
        Number p of features.
    selector
        Name of the selector, see :func:`get_selector`.
    virtual_batch_size
        See :class:`GhostBatchNorm`.
    momentum
        See :class:`GhostBatchNorm`.
    scale
        Initial weight of the norm: the standard deviation of the scores at the start. Small values start with masks
        open over many features.
    max_selected
        Most features of a mask, the largest scores; None for any number. See :meth:`narrow`.
    nonzero_only
        Select no feature that is zero in the cell: it would take a share and add nothing.
    """

    _limit: Tensor

    def __init__(
        self,
        n_a: int,
        n_input: int,
        *,
        selector: str,
        virtual_batch_size: int | None,
        momentum: float,
        scale: float = 1.0,
        max_selected: int | None = None,
        nonzero_only: bool = False,
    ) -> None:
        super().__init__()
        self.selector, self.selector_name = get_selector(selector), selector
        self.linear = linear(n_a, n_input)
        self.norm = GhostBatchNorm(n_input, virtual_batch_size, momentum)
        nn.init.constant_(self.norm.bn.weight, scale)
        self.max_selected = n_input if max_selected is None else min(max_selected, n_input)
        self.limit = self.max_selected
        self.nonzero_only = nonzero_only
        if self.max_selected < n_input:
            self.register_buffer("_limit", torch.tensor(self.limit))
            self.register_load_state_dict_post_hook(_take_limit)

    def narrow(self, share: float) -> None:
        """Let masks hold fewer features, from all (share 0) to `max_selected` (1), each step by the same factor.

        Masks that are narrow from the start never find the features that matter. The limit is stored with the weights.

        Parameters
        ----------
        share
            Of the way, from 0 to 1.
        """
        n_input = self.linear.out_features
        self.limit = round(n_input * (self.max_selected / n_input) ** share)
        if self.max_selected < n_input:
            self._limit.fill_(self.limit)

    def forward(self, attention: Tensor, prior: Tensor | None = None, nonzero: Tensor | None = None) -> Tensor:
        """Mask of one step.

        Parameters
        ----------
        attention
            (B, n_a) output of the step before.
        prior
            (B, p) how much of each feature may still be used. None stands for ones.
        nonzero
            (B, p) bool: features that are not zero, where only these are selected; None where all may be.

        Returns
        -------
        (B, p), non-negative, each row sums to 1, at least float32. A row with nothing to select from is zero.
        """
        scores = self.norm(self.linear(attention))
        return select_among(self.selector, scores if prior is None else scores * prior, nonzero, self.limit)


def _take_limit(part: Any, _: object) -> None:
    """Keep the limit as a number, too: to read it from a device would wait for that."""
    part.limit = int(part._limit)
