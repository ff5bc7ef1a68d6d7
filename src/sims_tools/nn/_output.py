"""What every network of the package returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from ._rows import SparseRows

LOG_FLOOR = 1e-15
"""Added to a share before its logarithm is taken for the entropy."""


class NetworkOutput(NamedTuple):
    """Result of one forward pass over B cells and p features.

    Attributes
    ----------
    logits
        (B, n_classes), before any softmax.
    embedding
        (B, n_latent), what the output layer reads.
    masks
        (B, p), non-negative, each row sums to 1: the share of each feature in the decision, or the attention that it
        receives, of a transformer. They pass no gradient.
        :class:`SparseRows` where the features were. None unless the pass was asked to explain, or where an
        architecture has no masks.
    penalty
        0-d, already weighted: what the network adds to the classification loss.
    member_logits
        (n_members, B, n_classes) logits that are trained, each on its own, where several networks decide together.
    """

    logits: Tensor
    embedding: Tensor
    masks: Tensor | SparseRows | None
    penalty: Tensor
    member_logits: Tensor | None = None


class Trace(Protocol):
    """What the steps of one network did with B cells."""

    @property
    def decisions(self) -> Tensor:
        """(S, B, n_d), non-negative: what each step adds to the embedding."""

    @property
    def masks(self) -> Sequence[Tensor] | Sequence[SparseRows]:
        """Mask (B, p) of each step, sparse where the features are."""

    def join(self, weights: Tensor) -> Tensor | SparseRows:
        """(B, p) sum of the masks, weighted (S, B)."""


class Encoded(NamedTuple):
    """What TabNet makes of B cells, before the output layer.

    Attributes
    ----------
    embedding
        (B, n_d), what the output layer reads.
    entropy
        0-d: entropy of the masks in nats, mean over steps and cells.
    trace
        What the steps did; None unless asked for.
    """

    embedding: Tensor
    entropy: Tensor
    trace: Trace | None = None
