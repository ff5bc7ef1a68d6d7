"""Several networks of one kind that decide together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ._output import NetworkOutput
from ._rows import SparseRows


class Ensemble(nn.Module):
    """Networks that differ in their initial weights; probabilities and masks are averaged.

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
            Return the mean of the members' masks.

        Returns
        -------
        logits (B, n_classes): logarithm of the mean of the members' probabilities; their embeddings side by side;
        masks; mean penalty; and the logits of each member.
        """
        outputs: list[NetworkOutput] = [each(x, explain=explain) for each in self.members]
        logits = torch.stack([each.logits for each in outputs])
        masks = [each.masks for each in outputs if each.masks is not None]
        return NetworkOutput(
            logits=logits.float().log_softmax(-1).logsumexp(0) - math.log(len(outputs)),
            embedding=torch.cat([each.embedding for each in outputs], dim=1),
            masks=_mean(masks) if len(masks) == len(outputs) else None,
            penalty=torch.stack([each.penalty for each in outputs]).mean(),
            member_logits=logits,
        )


def _mean(masks: Sequence[Tensor | SparseRows]) -> Tensor | SparseRows:
    """Mean of masks (B, p), sparse where they are."""
    sparse = [each for each in masks if isinstance(each, SparseRows)]
    dense = [each for each in masks if isinstance(each, Tensor)]
    return torch.stack(dense).mean(0) if dense else _mean_rows(sparse)


def _mean_rows(parts: Sequence[SparseRows]) -> SparseRows:
    n_rows, n_columns = parts[0].shape
    places = torch.cat([torch.stack([each.row_ids(), each.indices.long()]) for each in parts], dim=1)
    values = torch.cat([each.values for each in parts]) / len(parts)
    total = torch.sparse_coo_tensor(places, values, (n_rows, n_columns), check_invariants=False).coalesce()
    rows, columns = total.indices()
    indptr = torch.searchsorted(rows.contiguous(), torch.arange(n_rows + 1, device=rows.device))
    return SparseRows(indptr, columns.to(torch.int32), total.values(), n_columns)
