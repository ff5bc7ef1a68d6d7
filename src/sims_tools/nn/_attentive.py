"""The part of TabNet that chooses the features of a step."""

from __future__ import annotations

from torch import Tensor, nn

from ._ghost_norm import GhostBatchNorm
from ._linear import linear
from ._selectors import get_selector


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
    """

    def __init__(
        self,
        n_a: int,
        n_input: int,
        *,
        selector: str,
        virtual_batch_size: int | None,
        momentum: float,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        self.selector, self.selector_name = get_selector(selector), selector
        self.linear = linear(n_a, n_input)
        self.norm = GhostBatchNorm(n_input, virtual_batch_size, momentum)
        nn.init.constant_(self.norm.bn.weight, scale)

    def forward(self, attention: Tensor, prior: Tensor | None = None) -> Tensor:
        """Mask of one step.

        Parameters
        ----------
        attention
            (B, n_a) output of the step before.
        prior
            (B, p) how much of each feature may still be used. None stands for ones.

        Returns
        -------
        (B, p), non-negative, each row sums to 1, at least float32.
        """
        scores = self.norm(self.linear(attention))
        return self.selector(scores if prior is None else scores * prior)
