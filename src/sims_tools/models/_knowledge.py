"""What a model knows besides its weights: classes, genes, parameters, history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from sims_tools.data._features import modality_of
from sims_tools.models._confidence import Confidence
from sims_tools.models._history import history_arrays
from sims_tools.models._preset import Preset


class Knowledge:
    """State that training, prediction and storage share; names ending in "_" are as scvi-tools keeps them."""

    presets: ClassVar[Mapping[str, Preset]]
    """Recipes by name; there is always a "default"."""

    module: Any
    adata: Any
    adata_manager: Any
    is_trained_: bool
    history_: Any
    registry_: dict[str, Any]
    params_: dict[str, Any]
    training_: dict[str, Any]
    classes_: list[str]
    genes_: list[str]
    proteins_: list[str]
    gene_weights_: list[float] | None
    confidence_: Confidence
    best_epoch_: int | None
    was_interrupted_: bool

    def check_trained(self) -> None:
        """Raise RuntimeError unless the model was trained."""
        if not self.is_trained_:
            raise RuntimeError("The model is not trained yet; call `train()` first.")

    @property
    def classes(self) -> np.ndarray:
        """(n_classes,) names, in the order of the probabilities."""
        return np.asarray(self.classes_, dtype=object)

    @property
    def genes(self) -> np.ndarray:
        """(n_genes,) names, in the order of the masks: genes, and after them proteins, "protein:CD4" for CD4."""
        return np.asarray(self.genes_, dtype=object)

    @property
    def proteins(self) -> np.ndarray:
        """(n_proteins,) names of the last of the features, where the model reads proteins."""
        return np.asarray(self.proteins_, dtype=object)

    @property
    def modality(self) -> np.ndarray:
        """(n_genes,) modality of each feature, "rna" or "protein"."""
        return modality_of(self.n_rna, len(self.proteins_))

    @property
    def n_rna(self) -> int:
        """Number of the features that are genes."""
        return len(self.genes_) - len(self.proteins_)

    @property
    def gene_weights(self) -> np.ndarray:
        """(n_genes,) mean mask weight of each gene over training cells; equal before training or without masks."""
        weights = self.gene_weights_
        return np.full(len(self.genes_), 1 / len(self.genes_)) if weights is None else np.asarray(weights)

    @property
    def history_by_epoch(self) -> dict[str, np.ndarray]:
        """Tracked quantities as float arrays of one value an epoch, with the epochs under "epoch"."""
        return history_arrays(self.history_)

    @property
    def metrics(self) -> dict[str, float]:
        """Everything tracked at the epoch whose weights were kept (the last one, where none was judged)."""
        history = self.history_by_epoch
        if not history:
            return {}
        at = len(history["epoch"]) - 1
        if self.best_epoch_ is not None:
            at = int(np.flatnonzero(history["epoch"] == self.best_epoch_)[0])
        return {name: float(values[at]) for name, values in history.items() if np.isfinite(values[at])}
