"""TabNet: a classifier that chooses, cell by cell and step by step, the features it reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._attentive import AttentiveTransformer
from ._explanation import SHARES, Steps
from ._feature_transformer import FeatureTransformer, glu_linears
from ._ghost_norm import GhostBatchNorm
from ._linear import linear
from ._output import LOG_FLOOR, Encoded, NetworkOutput
from ._paths import encode
from ._rows import SparseRows
from ._together import explanation, read

INPUT_MOMENTUM = 0.01


class Step(NamedTuple):
    """What one decision step did with B cells.

    Attributes
    ----------
    mask
        (B, p), non-negative, each row sums to 1.
    decision
        (B, n_d), non-negative: the step's part of the embedding.
    """

    mask: Tensor
    decision: Tensor

    @property
    def importance(self) -> Tensor:
        """(B, 1): sum of the decision, in the precision of the mask."""
        return self.decision.to(self.mask.dtype).sum(dim=1, keepdim=True)


class TabNet(nn.Module):
    """TabNet (Arik and Pfister, AAAI 2021, arXiv:1908.07442), written from the paper.

    With features x and attention a_0, step s = 1 ... S computes a mask ``M_s = selector(prior_s * norm(W_s a_{s-1}))``,
    reads ``M_s * x`` with a feature transformer, and splits its output in a decision d_s (after ReLU) and the next
    attention a_s. A feature once used becomes less available: ``prior_{s+1} = prior_s * (gamma - M_s)``.
    The embedding is the sum of the decisions, the logits are linear in it.

    Parameters
    ----------
    n_input
        Number p of features.
    n_classes
        Number of classes.
    n_d
        Width of the decisions, hence of the embedding.
    n_a
        Width of the attention.
    n_steps
        Number S of steps.
    gamma
        At least 1. At 1 a feature that filled a mask is used up, larger values let later steps use it again.
    n_shared
        Gated layers of each feature transformer whose linear map all of them share.
    n_independent
        Gated layers of each feature transformer of its own. At least one layer in total.
    selector
        ``"sparsemax"`` or ``"entmax15"``.
    virtual_batch_size
        Rows per chunk of :class:`GhostBatchNorm`. None uses the whole batch.
    momentum
        Of the running statistics of every norm but the input's, where it is 0.01.
    sparsity
        Weight of the masks' entropy in the penalty. May be changed between training steps, through the attribute.
    center
        Normalise the features by batch norm over the batch, as published. False reads them as they come.
    attention_scale
        Initial weight of the norm of the scores: 1 as published, about 0.02 opens the masks at the start.
    max_selected
        Most features that the mask of a step may hold; None for any number. See :meth:`narrow`.
    nonzero_only
        Select only features that are not zero in the cell, as stored: the genes it expresses. Without `center` a
        feature that is zero adds nothing to a decision, and only takes a share of the mask.
    step_weights
        What the masks of the steps are averaged by: ``"size"`` of the decisions, as published, or how much each lifts
        the called ``"class"`` above the mean of all classes, see :func:`class_shares`.
    """

    accepts_sparse = True
    """Takes :class:`SparseRows` as well as dense features."""

    def __init__(
        self,
        n_input: int,
        n_classes: int,
        *,
        n_d: int = 8,
        n_a: int = 8,
        n_steps: int = 3,
        gamma: float = 1.3,
        n_shared: int = 2,
        n_independent: int = 2,
        selector: str = "sparsemax",
        virtual_batch_size: int | None = 128,
        momentum: float = 0.02,
        sparsity: float = 1e-3,
        center: bool = True,
        attention_scale: float = 1.0,
        max_selected: int | None = None,
        nonzero_only: bool = False,
        step_weights: str = "size",
    ) -> None:
        super().__init__()
        if step_weights not in SHARES:
            raise ValueError(f"`step_weights={step_weights!r}` is not one of {', '.join(SHARES)}.")
        _check_at_least(1, n_input=n_input, n_classes=n_classes, n_d=n_d, n_a=n_a, n_steps=n_steps)
        _check_at_least(0, n_shared=n_shared, n_independent=n_independent)
        _check_at_least(1, gamma=gamma)
        _check_at_least(0, sparsity=sparsity)
        if max_selected is not None:
            _check_at_least(1, max_selected=max_selected)
        if not 0 < attention_scale < math.inf:
            raise ValueError(f"`attention_scale` must be positive and finite, found {attention_scale}.")
        self.n_input, self.n_d, self.n_a = n_input, n_d, n_a
        self.gamma, self.nonzero_only = float(gamma), bool(nonzero_only)
        self.sparsity, self.step_weights = float(sparsity), step_weights
        norm: dict[str, Any] = {"virtual_batch_size": virtual_batch_size, "momentum": momentum}
        layers: dict[str, Any] = {"n_shared": n_shared, "n_independent": n_independent, **norm}
        n_hidden = n_d + n_a
        self.input_norm = GhostBatchNorm(n_input, None, INPUT_MOMENTUM) if center else nn.Identity()
        self.shared = glu_linears(n_input, n_hidden, n_shared)
        self.splitter = FeatureTransformer(n_input, n_hidden, **layers)
        masks: dict[str, Any] = {"selector": selector, "scale": attention_scale}
        masks |= {"max_selected": max_selected, "nonzero_only": self.nonzero_only}
        self.attentives = nn.ModuleList(AttentiveTransformer(n_a, n_input, **masks, **norm) for _ in range(n_steps))
        self.transformers = nn.ModuleList(FeatureTransformer(n_input, n_hidden, **layers) for _ in range(n_steps))
        self.head = linear(n_d, n_classes)

    def narrow(self, share: float) -> None:
        """Let masks hold fewer features, from all of them (share 0) to `max_selected` (1).

        Parameters
        ----------
        share
            Of the way.
        """
        for attentive in self.attentives:
            cast("AttentiveTransformer", attentive).narrow(share)

    def forward(self, x: Tensor | SparseRows, *, explain: bool = False) -> NetworkOutput:
        """Classify cells.

        Parameters
        ----------
        x
            (B, p) features; stored sparsely they take the quickest path there is, and pass no gradient to the masks.
        explain
            Return the masks of the steps averaged, see `step_weights`.

        Returns
        -------
        logits (B, n_classes); embedding (B, n_d); masks (B, p), sparse if `x` is, or
        None; and the penalty ``-sparsity * E`` with
        ``E = mean over steps and cells of sum_j M_j log(M_j + 1e-15)``, which grows as the masks open. In a row where
        no step speaks for the called class, masks are averaged with equal weights.
        """
        reading = read([self], x, explain=explain)
        logits, embedding, penalty = (each[0] for each in reading[:3])
        masks = explanation([self], reading, logits.detach().argmax(1)) if explain else None
        return NetworkOutput(logits, embedding, masks, penalty)

    def encode(self, x: Tensor | SparseRows, *, keep_steps: bool = False) -> Encoded:
        """Everything but the output layer, the quickest way there is.

        Parameters
        ----------
        x
            (B, p) features.
        keep_steps
            Return what the steps did.
        """
        return (
            encode(self, x, keep_steps=keep_steps) if isinstance(x, SparseRows) else self.run(x, keep_steps=keep_steps)
        )

    def run(self, x: Tensor, *, keep_steps: bool = False) -> Encoded:
        """Everything but the output layer, for dense features.

        Parameters
        ----------
        x
            (B, p) features.
        keep_steps
            Return what the steps did.

        Returns
        -------
        Entropy is 0 where `sparsity` is.
        """
        decisions, entropies, masks = [], [], []
        for step in self.steps(x):
            decisions.append(step.decision)
            entropies.append(_entropy(step.mask) if self.sparsity else step.decision.new_zeros(()))
            if keep_steps:
                masks.append(step.mask.detach())
        of_steps = torch.stack(decisions)
        return Encoded(
            of_steps.sum(0), torch.stack(entropies).mean(), Steps(of_steps.detach(), masks) if masks else None
        )

    def steps(self, x: Tensor, prior: Tensor | None = None) -> Iterator[Step]:
        """Run the steps one after the other; everything else is computed from them.

        In training mode this updates the running statistics, as any pass does.

        Parameters
        ----------
        x
            (B, p) features.
        prior
            (B, p) how much of each feature the first step may use, 0 for one that was hidden. None stands for ones.

        Yields
        ------
        Mask and decision of each step.
        """
        if x.ndim != 2 or x.shape[1] != self.n_input:
            raise ValueError(f"Expected features of shape (n_obs, {self.n_input}), found {tuple(x.shape)}.")
        nonzero = x != 0 if self.nonzero_only else None
        x = self.input_norm(x)
        attention = self.splitter(x, self.shared)[:, self.n_d :]
        mask: Tensor | None = None
        for attentive, transformer in zip(self.attentives, self.transformers, strict=True):
            if mask is not None:
                prior = self.gamma - mask if prior is None else prior * (self.gamma - mask)
            mask = attentive(attention, prior, nonzero)
            hidden = transformer((mask * x).to(x.dtype), self.shared)
            decision, attention = hidden.split([self.n_d, self.n_a], dim=1)
            yield Step(mask, F.relu(decision))

    def step_masks(self, x: Tensor | SparseRows) -> list[Tensor] | list[SparseRows]:
        """Mask of every step.

        Parameters
        ----------
        x
            (B, p) features.

        Returns
        -------
        `n_steps` masks (B, p) of the kind of `x`, non-negative, each row sums to 1.
        """
        if isinstance(x, SparseRows):
            trace = encode(self, x, keep_steps=True).trace
            return cast("list[SparseRows]", list(trace.masks) if trace is not None else [])
        return [step.mask for step in self.steps(x)]

    def aggregated_masks(self, x: Tensor) -> Tensor:
        """Sum of the masks weighted with the size of the decisions, as published: rows do not sum to 1.

        Parameters
        ----------
        x
            (B, p) features.

        Returns
        -------
        (B, p), non-negative; a row is zero where every decision is.
        """
        return reduce(torch.add, (step.importance * step.mask for step in self.steps(x)))


def _check_at_least(minimum: int, **values: float) -> None:
    for name, value in values.items():
        if not minimum <= value < math.inf:
            raise ValueError(f"`{name}` must be at least {minimum} and finite, found {value}.")


def _entropy(mask: Tensor) -> Tensor:
    """0-d: entropy of the rows of a mask (B, p) in nats, averaged; 0 for no rows."""
    return -(mask * (mask + LOG_FLOOR).log()).sum() / max(len(mask), 1)
