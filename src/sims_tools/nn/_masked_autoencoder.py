"""TabNet without labels: features are hidden at random, and made again from what the steps decide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from ._feature_transformer import FeatureTransformer, glu_linears
from ._linear import linear
from ._paths import together
from ._rows import SparseRows
from ._tabnet import TabNet


class TabNetDecoder(nn.Module):
    """From the decisions of the steps back to the features (Arik and Pfister, AAAI 2021, arXiv:1908.07442, figure 4b).

    A feature transformer for each step reads its decision; what they return is summed and goes through a linear map,
    whose weights are zero at the start: what it makes of nothing learned would be far off.

    Parameters
    ----------
    n_output
        Number p of features.
    n_d
        Width of the decisions.
    n_steps
        Number S of steps.
    n_shared
        Gated layers whose linear map the steps share.
    n_independent
        Gated layers of each step's own. At least one layer in total.
    virtual_batch_size, momentum
        See :class:`GhostBatchNorm`.
    """

    def __init__(
        self,
        n_output: int,
        *,
        n_d: int = 8,
        n_steps: int = 3,
        n_shared: int = 1,
        n_independent: int = 1,
        virtual_batch_size: int | None = 128,
        momentum: float = 0.02,
    ) -> None:
        super().__init__()
        self.shared = glu_linears(n_d, n_d, n_shared)
        self.transformers = nn.ModuleList(
            FeatureTransformer(
                n_d,
                n_d,
                n_shared=n_shared,
                n_independent=n_independent,
                virtual_batch_size=virtual_batch_size,
                momentum=momentum,
            )
            for _ in range(n_steps)
        )
        self.output = linear(n_d, n_output)
        nn.init.zeros_(self.output.weight)

    def forward(self, decisions: Tensor) -> Tensor:
        """Make the features again.

        Parameters
        ----------
        decisions
            (S, B, n_d).

        Returns
        -------
        (B, p).
        """
        parts = zip(self.transformers, decisions, strict=True)
        return self.output(torch.stack([transformer(each, self.shared) for transformer, each in parts]).sum(0))


class MaskedAutoencoder(nn.Module):
    """TabNets that learn from cells without labels to make hidden features from the others (Arik and Pfister, 2021).

    Hidden features are set to zero, and no step may select them: their prior is 0 from the first step on. Each encoder
    has a decoder of its own and learns on its own.

    Parameters
    ----------
    encoders
        One TabNet or more, for the same features. Their output layers are taken off.
    n_shared, n_independent
        Gated layers of the decoders, see :class:`TabNetDecoder`.
    """

    accepts_sparse = True
    """Takes :class:`SparseRows` as well as dense features."""

    def __init__(self, encoders: Sequence[TabNet], *, n_shared: int = 1, n_independent: int = 1) -> None:
        super().__init__()
        if not encoders:
            raise ValueError("There is no encoder; give one or more.")
        self.encoders, self.decoders = nn.ModuleList(encoders), nn.ModuleList()
        for each in encoders:
            each.head = nn.Identity()  # type: ignore[assignment]
            norm = each.splitter.norms[0]
            self.decoders.append(
                TabNetDecoder(
                    each.n_input,
                    n_d=each.n_d,
                    n_steps=len(each.attentives),
                    n_shared=n_shared,
                    n_independent=n_independent,
                    virtual_batch_size=norm.virtual_batch_size,  # type: ignore[arg-type]
                    momentum=norm.bn.momentum,  # type: ignore[union-attr, arg-type]
                )
            )

    def forward(self, x: Tensor | SparseRows, hidden: Tensor | None = None) -> Tensor:
        """Make features from those that are not hidden.

        Parameters
        ----------
        x
            (B, p) features. Where networks select only what is not zero (`nonzero_only`) sparse ones take the quickest
            path there is.
        hidden
            (B, p) bool: features that may not be seen; None hides nothing.

        Returns
        -------
        (n_encoders, B, p).
        """
        decisions = self.decisions(x, hidden)
        return torch.stack([decoder(each) for decoder, each in zip(self.decoders, decisions, strict=True)])

    def decisions(self, x: Tensor | SparseRows, hidden: Tensor | None = None) -> Tensor:
        """What the steps decide.

        Parameters
        ----------
        x, hidden
            As for :meth:`forward`.

        Returns
        -------
        (n_encoders, S, B, n_d), non-negative.
        """
        encoders = [cast("TabNet", each) for each in self.encoders]
        if isinstance(x, SparseRows):
            shown = x if hidden is None else _without(x, hidden)
            # what is not zero may be selected, and nothing else: that leaves out what is hidden, as the prior would
            can_do_without = hidden is None or all(each.nonzero_only for each in encoders)
            found = together(encoders, shown) if can_do_without else None
            if found is not None:
                return found[2]
            x = x.to_dense()
        shown_dense = x if hidden is None else x.masked_fill(hidden, 0)
        prior = None if hidden is None else (~hidden).to(x.dtype)
        return torch.stack(
            [torch.stack([step.decision for step in each.steps(shown_dense, prior)]) for each in encoders]
        )


def _without(x: SparseRows, hidden: Tensor) -> SparseRows:
    """Stored features with zeros in place of those that are hidden."""
    return x.with_values(x.values.masked_fill(hidden[x.row_ids(), x.indices.long()], 0))


def masked_error(made: Tensor, x: Tensor, hidden: Tensor, variance: Tensor | None = None) -> Tensor:
    """Squared error of features that were hidden, each over its variance (Arik and Pfister, AAAI 2021).

    That is 1 for a network that always says the mean.

    Parameters
    ----------
    made
        (..., B, p) what was made of the others.
    x
        (B, p) the features.
    hidden
        (B, p) bool.
    variance
        (p,) of the features, positive. None takes that of the batch, as published; a feature that is constant there is
        measured by the size of its mean, or by 1 where that is 0.

    Returns
    -------
    0-d: mean over hidden features, then over cells (and what comes before them). A cell of which nothing was hidden
    counts as 0.
    """
    variance = _batch_variance(x) if variance is None else variance
    weights = hidden / (variance * hidden.sum(1, keepdim=True).clamp_min(1))
    return ((made - x).square() * weights).sum(-1).mean()


def _batch_variance(x: Tensor) -> Tensor:
    """(p,) unbiased variance, or what stands for it."""
    mean = x.mean(0)
    variance = x.var(0) if len(x) > 1 else torch.zeros_like(mean)
    return torch.where(variance == 0, torch.where(mean == 0, 1.0, mean.abs()), variance)
