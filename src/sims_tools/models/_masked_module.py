"""scvi-tools' module around a masked autoencoder: transform, hiding, error of what was hidden; and its plan."""

from __future__ import annotations

from typing import Any

import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor

from sims_tools.data._dataset import TOTALS, X
from sims_tools.models._cite_plan import ReconstructionPlan
from sims_tools.models._inputs import MAX_SCALED, CountTransform
from sims_tools.nn import MaskedAutoencoder, SparseRows, masked_error


class MaskedModule(BaseModuleClass):
    """Hides features of cells at random and learns to make them again.

    Parameters
    ----------
    transform
        Counts and totals to network input.
    network
        The autoencoder.
    ratio
        Share of the features that are hidden.
    seed
        Of what is hidden of cells that epochs are judged by: the same in each epoch.
    """

    n_labels = 0
    mean: Tensor
    variance: Tensor

    def __init__(self, transform: CountTransform, network: MaskedAutoencoder, ratio: float, seed: int) -> None:
        super().__init__()
        self.transform, self.network, self.ratio = transform, network, ratio
        self._seed, self._judged = seed, torch.Generator()
        self.register_buffer("mean", torch.zeros(len(transform.gene_scale)))
        self.register_buffer("variance", torch.ones(len(transform.gene_scale)))

    def fit(self, mean: Tensor, variance: Tensor) -> None:
        """Take mean and variance (p,) of log1p CP10K of each gene over the training cells."""
        if self.transform.scale_genes:
            self.transform.fit(variance)
            mean = (mean.to(self.mean) * self.transform.gene_scale).clamp_max(MAX_SCALED)
            variance = torch.ones_like(self.variance)
        self.mean.copy_(mean)
        self.variance.copy_(torch.where(variance > 0, variance, 1.0))

    def _get_inference_input(self, tensors: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"counts": tensors[X], "totals": tensors[TOTALS]}

    @auto_move_data
    def inference(self, counts: Tensor | SparseRows, totals: Tensor) -> dict[str, Any]:
        """(B, p) linear counts and (B, 1) totals to features (B, p), what was hidden, and what was made of the rest.

        The network makes how far a gene is from its mean.
        """
        counts = counts.to(totals.device)  # scvi-tools has moved the tensors, and nothing else
        with torch.autocast(totals.device.type, enabled=False):
            x = self.transform(counts.to(torch.float32), totals.float())
        hidden = self._hidden(x.shape, totals.device)
        made = self.network(x, hidden).float() + self.mean
        return {"x": x.to_dense() if isinstance(x, SparseRows) else x, "hidden": hidden, "made": made}

    def _hidden(self, shape: tuple[int, int], device: torch.device) -> Tensor:
        """(B, p) bool."""
        if self.training:
            return torch.rand(shape, device=device) < self.ratio
        return (torch.rand(shape, generator=self._judged) < self.ratio).to(device)

    def judge_anew(self) -> None:
        """Hide of the next cells what was hidden of those after the last call."""
        self._judged.manual_seed(self._seed)

    def _get_generative_input(self, *_: Any, **__: Any) -> dict[str, Tensor]:
        return {}

    def generative(self) -> dict[str, Tensor]:
        """Nothing is generated."""
        return {}

    def loss(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], _: dict[str, Tensor]
    ) -> LossOutput:
        """Squared error of the hidden features over their variance, the mean over encoders."""
        x = inference_outputs["x"]
        error = masked_error(inference_outputs["made"], x, inference_outputs["hidden"], self.variance)
        return LossOutput(loss=error, n_obs_minibatch=len(x))


class MaskedPlan(ReconstructionPlan):
    """Judges every epoch by the same hidden features."""

    def on_validation_epoch_start(self) -> None:
        """Begin with the first of them."""
        self.module.judge_anew()
