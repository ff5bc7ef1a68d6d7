"""What a model folder says about its model, and back."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from sims_tools._keys import UNKNOWN
from sims_tools.data._kind import TARGET_SUM
from sims_tools.models._confidence import Confidence
from sims_tools.models._inputs import MAX_SCALED
from sims_tools.models._registry import make_registry

_PACKAGES = ("sims-tools", "scvi-tools", "torch", "anndata", "scanpy", "numpy")

_SETUP = ("labels_key", "layer", "total_counts_key", "input_kind")
"""Arguments of `setup_anndata` that say how the model's own cells are read."""

_SETUP_OF_PROTEINS = ("modalities", "rna_layer", "protein_layer", "protein_obsm_key")
"""Those of `setup_mudata`, and of `setup_anndata` with proteins."""

_PROTEIN_TRANSFORMS = {
    "clr": "log1p(x / exp(mean over the cell's proteins of log1p(x)))",
    "log1p": "log1p of counts",
    "none": "none: values are used as they come",
}

_CITATION = (
    "Gonzalez-Ferrer J, Lehrer J, et al. SIMS: A deep-learning label transfer tool for single-cell RNA sequencing "
    "analysis. Cell Genomics, 2024."
)


def package_versions() -> dict[str, str]:
    """Versions of the packages that a result depends on."""
    return {name: version(name) for name in _PACKAGES}


def describe(model: Any) -> dict[str, Any]:
    """The header of a trained model: JSON-ready, but for arrays of `confidence_`."""
    setup = model.registry_["setup_args"]
    return {
        "model": model.name,
        "method": model.reference,
        "citation": _CITATION,
        "versions": package_versions(),
        "classes": model.classes_,
        "genes": model.genes_,
        **({"proteins": model.proteins_} if model.proteins_ else {}),
        "setup": {name: setup.get(name) for name in _SETUP + (_SETUP_OF_PROTEINS if model.proteins_ else ())},
        "transform": describe_transform(model),
        "params": model.params_,
        "metrics": model.metrics,
        "attributes": {
            "gene_weights_": model.gene_weights_,
            "best_epoch_": model.best_epoch_,
            "was_interrupted_": model.was_interrupted_,
            "training_": model.training_,
            **({"references_": model.references_} if model.references_ else {}),
            **({"init_from_": model.init_from_} if model.init_from_ else {}),
            "confidence_": model.confidence_.to_dict(),
        },
        "history": history_lists(model),
    }


def describe_transform(model: Any) -> dict[str, str]:
    """How a model prepares what it reads, in words."""
    return {
        "input": "raw counts, or values proportional to them within each cell",
        "normalisation": f"log1p of counts per {TARGET_SUM:.0f}, totals over all genes of the cell",
        "scaling": _scaling(model.params_),
        **({"proteins": _PROTEIN_TRANSFORMS[model.params_["protein_transform"]]} if model.proteins_ else {}),
    }


def _scaling(params: dict[str, Any]) -> str:
    """What is done to genes after the logarithm."""
    if params.get("center_genes"):
        return "z-scores with the training cells' mean and standard deviation"
    by_deviation = f"divided by the training cells' standard deviation, at most {MAX_SCALED:g}"
    return by_deviation if params["scale_genes"] else "none"


def history_lists(model: Any) -> dict[str, list[float | None]]:
    """A model's history by epoch as JSON can hold it: None where an epoch has no value."""
    return {name: _finite(values) for name, values in model.history_by_epoch.items()}


def registry_from(header: dict[str, Any]) -> dict[str, Any]:
    """scvi-tools' registry for a model that is being loaded."""
    setup = {name: value for name, value in header["setup"].items() if value is not None}
    proteins = header.get("proteins", [])
    genes = header["genes"][: len(header["genes"]) - len(proteins)]
    return make_registry(header["model"], genes, header["classes"], UNKNOWN, setup, proteins)


def attributes_from(header: dict[str, Any]) -> dict[str, Any]:
    """What a model remembers of its training; models of before confidence was fitted have none."""
    stored = dict(header["attributes"])
    confidence = stored.pop("confidence_", None)
    return stored if confidence is None else stored | {"confidence_": Confidence.from_dict(confidence)}


def history_from(header: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """scvi-tools' history as it was after training."""
    history = {name: np.array(values, dtype=float) for name, values in header["history"].items()}
    epochs = pd.Index(history.pop("epoch", np.empty(0)), name="epoch")
    frames = {name: pd.DataFrame({name: values}, index=epochs) for name, values in history.items()}
    return {name: frame.dropna() for name, frame in frames.items()}


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
