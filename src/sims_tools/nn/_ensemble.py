"""Several networks of one kind that decide together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ._explanation import weighted_sum
from ._output import NetworkOutput
from ._rows import SparseRows
from ._tabnet import TabNet
from ._together import explanation, read


class Ensemble(nn.Module):
    """Networks that differ in their initial weights; their probabilities are averaged.

    Members are trained side by side, each on its own loss: what one gets wrong another may get right (Lakshminarayanan,
    Pritzel and Blundell, "Simple and scalable predictive uncertainty estimation using deep ensembles", NeurIPS 2017).

    Parameters
    ----------
    members
        Two networks or more that return a :class:`NetworkOutput`, with as many classes each.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        super().__init__()
        if len(members) < 2:
            raise ValueError(f"An ensemble has two members or more, found {len(members)}.")
        self.members = nn.ModuleList(members)
        self.accepts_sparse = all(getattr(each, "accepts_sparse", False) for each in members)

    def narrow(self, share: float) -> None:
        """Call `narrow` of the members, where they have it."""
        for each in self.members:
            if (narrow := getattr(each, "narrow", None)) is not None:
                narrow(share)

    def forward(self, x: Tensor | SparseRows, *, explain: bool = False) -> NetworkOutput:
        """Classify cells.

        Parameters
        ----------
        x
            (B, p) features.
        explain
            Return the members' masks averaged, those of TabNets as their `step_weights` says.

        Returns
        -------
        logits (B, n_classes): logarithm of the mean of the members' probabilities; their embeddings side by side;
        masks; mean penalty; and the logits of each member.
        """
        members = [each for each in self.members if isinstance(each, TabNet)]
        if len(members) < len(self.members) or len({_kind(each) for each in members}) > 1:
            return self._each(x, explain=explain)
        reading = read(members, x, explain=explain)
        logits = _together(reading.logits)
        masks = explanation(members, reading, logits.detach().argmax(1)) if explain else None
        embedding = reading.embedding.transpose(0, 1).flatten(1)
        return NetworkOutput(logits, embedding, masks, reading.penalty.mean(), reading.logits)

    def _each(self, x: Tensor | SparseRows, *, explain: bool) -> NetworkOutput:
        """One member after the other."""
        outputs: list[NetworkOutput] = [each(x, explain=explain) for each in self.members]
        logits = torch.stack([each.logits for each in outputs])
        masks: list[Any] = [each.masks for each in outputs if each.masks is not None]
        n_masks = len(masks)
        shares = logits.new_full((n_masks, logits.shape[1]), 1 / max(n_masks, 1))
        return NetworkOutput(
            logits=_together(logits),
            embedding=torch.cat([each.embedding for each in outputs], dim=1),
            masks=weighted_sum(masks, shares) if n_masks == len(outputs) else None,
            penalty=torch.stack([each.penalty for each in outputs]).mean(),
            member_logits=logits,
        )


def _kind(member: TabNet) -> tuple[int, int, str]:
    """What TabNets must have in common to be read and explained together."""
    return member.n_d, len(member.attentives), member.step_weights


def _together(logits: Tensor) -> Tensor:
    """(B, n_classes) logarithm of the members' mean probabilities, from their logits (n_members, B, n_classes)."""
    return logits.float().log_softmax(-1).logsumexp(0) - math.log(len(logits))
