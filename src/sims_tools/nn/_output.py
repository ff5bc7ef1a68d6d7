"""What every network of the package returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class NetworkOutput(NamedTuple):
    """Result of one forward pass over B cells and p features.

    Attributes
    ----------
    logits
        (B, n_classes), before any softmax.
    embedding
        (B, n_latent), what the output layer reads.
    masks
        (B, p), non-negative, each row sums to 1: the share of each feature in the decision.
        None unless the pass was asked to explain, or where an architecture has no masks.
    penalty
        0-d, already weighted: what the network adds to the classification loss.
    """

    logits: Tensor
    embedding: Tensor
    masks: Tensor | None
    penalty: Tensor
