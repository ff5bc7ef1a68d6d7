"""scvi-tools' module around one network: transform, network, classification loss."""

from __future__ import annotations

from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn
from torch.nn import functional as F

from sims_tools.data._dataset import LABELS, TOTALS, X
from sims_tools.models._inputs import CountTransform
from sims_tools.nn import SparseRows


class ClassifierModule(BaseModuleClass):
    """A transform and a network that returns :class:`~sims_tools.nn.NetworkOutput`.

    Parameters
    ----------
    transform
        Counts and totals to network input.
    network
        Called as `network(x, explain=...)`; with :class:`~sims_tools.nn.SparseRows` where its class says
        `accepts_sparse = True`, with a dense tensor otherwise.
    n_labels
        Number of classes.
    """

    class_weights: Tensor

    def __init__(self, transform: CountTransform, network: nn.Module, n_labels: int) -> None:
        super().__init__()
        self.transform, self.network, self.n_labels = transform, network, n_labels
        self.label_smoothing = 0.0
        self.penalty_scale = 1.0
        self.register_buffer("class_weights", torch.ones(n_labels), persistent=False)

    def _get_inference_input(self, tensors: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"counts": tensors[X], "totals": tensors[TOTALS]}

    @auto_move_data
    def inference(self, counts: Tensor | SparseRows, totals: Tensor, *, explain: bool = False) -> dict[str, Any]:
        """(B, p) linear counts and (B, 1) totals to the fields of a `NetworkOutput`."""
        counts = counts.to(totals.device)  # scvi-tools has moved the tensors, and nothing else
        with torch.autocast(counts.device.type, enabled=False):
            x = self.transform(counts.to(torch.float32), totals.float())
        if isinstance(x, SparseRows) and not getattr(self.network, "accepts_sparse", False):
            x = x.to_dense()
        return self.network(x, explain=explain)._asdict()

    def _get_generative_input(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        return {}

    def generative(self) -> dict[str, Tensor]:
        """A classifier has no generative part."""
        return {}

    def loss(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], _: dict[str, Tensor]
    ) -> LossOutput:
        """Weighted cross-entropy, the mean over members where there are several, plus the network's penalty."""
        labels = tensors[LABELS].view(-1).long()
        logits = inference_outputs["logits"].float()
        members = inference_outputs.get("member_logits")
        trained = logits if members is None else members.float().flatten(0, 1)
        loss = F.cross_entropy(
            trained,
            labels.repeat(len(trained) // len(labels)),
            weight=self.class_weights,
            label_smoothing=self.label_smoothing if self.training else 0.0,
        )
        penalty = inference_outputs["penalty"]
        return LossOutput(
            loss=loss + self.penalty_scale * penalty,
            logits=logits,
            true_labels=labels,
            n_obs_minibatch=len(labels),
            extra_metrics={"penalty": penalty.detach()},
        )


def balanced_weights(counts: Tensor, power: float) -> Tensor:
    """Class weights (C,) proportional to frequency to the `-power`, mean 1 over the cells; 0 for an empty class."""
    weights = torch.where(counts > 0, counts.double().clamp_min(1) ** -power, 0.0)
    return (weights * counts.sum() / (weights * counts).sum()).float()
