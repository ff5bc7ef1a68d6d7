"""scvi-tools' module around the CITE-seq autoencoder: scaling, network, loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scvi.module.base import BaseModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn
from torch.nn import functional as F

from sims_tools.data._dataset import LABELS, PROTEINS, X
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.models._inputs import MAX_SCALED
from sims_tools.nn import CITENetwork

_CONSTANT = 1e-6
"""Standard deviation, as a share of the mean, up to which a feature is taken as constant: it is rounding."""


class Scaler(nn.Module):
    """Centres and scales features once it is fitted; a missing one (NaN) takes the value 0, which is the mean then.

    Parameters
    ----------
    n_features
        Number p of features.
    standardize
        Whether it is to be fitted; values are cut off at 10 then.
    """

    center: Tensor
    scale: Tensor

    def __init__(self, n_features: int, *, standardize: bool) -> None:
        super().__init__()
        self.standardize = standardize
        self.register_buffer("center", torch.zeros(n_features))
        self.register_buffer("scale", torch.ones(n_features))

    def fit(self, mean: np.ndarray, deviation: np.ndarray) -> None:
        """Take mean and standard deviation (p,) over the training cells; a constant feature is silenced."""
        varies = deviation > _CONSTANT * np.abs(mean)
        scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
        self.center.copy_(torch.from_numpy(mean))
        self.scale.copy_(torch.from_numpy(scale))

    def forward(self, x: Tensor) -> Tensor:
        """(B, p) to the same shape."""
        scaled = ((x - self.center) * self.scale).clamp_max(MAX_SCALED if self.standardize else math.inf)
        return torch.where(scaled.isnan(), torch.zeros_like(scaled), scaled)


class CITEModule(BaseModuleClass):
    """Scaling, autoencoder, and the mean squared error of what it makes of RNA and protein.

    Parameters
    ----------
    network
        The autoencoder.
    standardize
        Whether RNA, and protein, are centred and scaled.
    weights
        Weights of the mean squared errors of RNA and protein; their sum is divided by that of the weights.
    n_labels
        Classes that the network's classifier tells apart; 0 has none.
    classification_weight
        Weight of the classifier's cross-entropy.
    """

    class_weights: Tensor

    def __init__(
        self,
        network: CITENetwork,
        *,
        standardize: tuple[bool, bool],
        weights: tuple[float, float],
        n_labels: int = 0,
        classification_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.network, self.n_labels = network, n_labels
        self.weights, self.classification_weight = weights, classification_weight
        self.scale_rna = Scaler(network.n_genes, standardize=standardize[0])
        self.scale_protein = Scaler(network.n_proteins, standardize=standardize[1])
        self.label_smoothing = 0.0
        self.penalty_scale = 1.0
        self.register_buffer("class_weights", torch.ones(max(n_labels, 1)), persistent=False)

    def _get_inference_input(self, tensors: dict[str, Any], **_: Any) -> dict[str, Any]:
        return {"rna": tensors[X], "protein": tensors[PROTEINS]}

    @auto_move_data
    def inference(self, rna: Tensor, protein: Tensor) -> dict[str, Any]:
        """(B, p) RNA and (B, q) protein to the network's input (B, p), (B, q) and latent space (B, n_latent)."""
        with torch.autocast(rna.device.type, enabled=False):
            rna, protein = self.scale_rna(rna.float()), self.scale_protein(protein.float())
        return {"rna": rna, "protein": protein, "latent": self.network.encode(rna, protein)}

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor], **_: Any
    ) -> dict[str, Tensor]:
        return {"latent": inference_outputs["latent"]}

    @auto_move_data
    def generative(self, latent: Tensor) -> dict[str, Tensor | None]:
        """Latent space (B, n_latent) to the reconstruction (B, p + q) and logits (B, n_classes), or None."""
        head = self.network.head
        return {"reconstruction": self.network.decoder(latent), "logits": None if head is None else head(latent)}

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Tensor],
        generative_outputs: dict[str, Tensor],
    ) -> LossOutput:
        """Weighted mean squared error of both modalities, plus the classifier's cross-entropy over labelled cells."""
        rna, protein = inference_outputs["rna"], inference_outputs["protein"]
        made_rna, made_protein = generative_outputs["reconstruction"].float().split([rna.shape[1], protein.shape[1]], 1)
        errors = F.mse_loss(made_rna, rna), F.mse_loss(made_protein, protein)
        told = {"rna_mse": errors[0].detach(), "protein_mse": errors[1].detach()}
        weights = self.weights
        loss = (weights[0] * errors[0] + weights[1] * errors[1]) / (weights[0] + weights[1])
        if generative_outputs["logits"] is None:
            return LossOutput(loss=loss, n_obs_minibatch=len(rna), extra_metrics=told)
        labels = tensors[LABELS].view(-1).long()
        logits = generative_outputs["logits"].float()
        classification = self._cross_entropy(logits, labels)
        return LossOutput(
            loss=loss + self.classification_weight * classification,
            logits=logits,
            true_labels=labels,
            n_obs_minibatch=len(rna),
            extra_metrics=told | {"classification_loss": classification.detach()},
        )

    def _cross_entropy(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Mean over the labelled cells (0 where there are none), classes weighted."""
        known = labels >= 0
        total = F.cross_entropy(
            logits,
            labels.clamp_min(0),
            weight=self.class_weights,
            label_smoothing=self.label_smoothing if self.training else 0.0,
            reduction="none",
        )
        weights = self.class_weights[labels.clamp_min(0)] * known
        return (total * known).sum() / weights.sum().clamp_min(1e-12)


def build_module(
    n_genes: int, n_proteins: int, n_classes: int, forms: Mapping[str, str], params: Mapping[str, Any]
) -> CITEModule:
    """The module of a model with these features and parameters; its weights are drawn from torch's random stream."""
    shape = {name: params[name] for name in ("n_hidden_rna", "n_hidden_protein", "n_latent", "dropout")}
    weights = params["modality_weights"] or {RNA: float(n_genes), PROTEIN: float(n_proteins)}
    normalised = [params["standardize"] and forms[which] == "counts" for which in (RNA, PROTEIN)]
    return CITEModule(
        CITENetwork(n_genes, n_proteins, n_classes=n_classes, **shape),
        standardize=(normalised[0], normalised[1]),
        weights=(weights[RNA], weights[PROTEIN]),
        n_labels=n_classes,
        classification_weight=params["classification_weight"],
    )
