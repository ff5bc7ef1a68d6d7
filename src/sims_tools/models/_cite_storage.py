"""What the folder of a CITE-seq autoencoder says about it, and back."""

from __future__ import annotations

from typing import Any

from scvi import REGISTRY_KEYS

from sims_tools._keys import UNKNOWN
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._kind import TARGET_SUM
from sims_tools.models._inputs import MAX_SCALED
from sims_tools.models._registry import make_registry
from sims_tools.models._storage import history_lists, package_versions

_SETUP = (
    "modalities",
    "rna_layer",
    "protein_layer",
    "protein_obsm_key",
    "labels_key",
    "unlabeled_category",
    "mask_var",
    "rna_kind",
    "protein_kind",
)
"""Arguments of the setup that say how the model's own cells are read."""

_NORMALISED = {
    RNA: f"log1p of counts per {TARGET_SUM:.0f}, totals over all genes of the cell",
    PROTEIN: "CLR in the cell",
}


def describe_autoencoder(model: Any) -> dict[str, Any]:
    """The JSON-ready header of a trained model."""
    setup, scaled = model.registry_["setup_args"], model.params_["standardize"]
    how = f", centred and scaled by the training cells, at most {MAX_SCALED:g}" if scaled else ""
    return {
        "model": model.name,
        "method": model.reference,
        "citation": model.reference,
        "versions": package_versions(),
        "classes": model.classes_,
        "genes": model.genes_,
        "proteins": model.proteins_,
        "setup": {name: setup[name] for name in _SETUP if setup.get(name) is not None},
        "setup_method": model.registry_["setup_method_name"],
        "forms": model.forms_,
        "transform": {
            which: f"{_NORMALISED[which]}{how}" if form == "counts" else "values as they are"
            for which, form in model.forms_.items()
        },
        "params": model.params_,
        "metrics": model.metrics,
        "attributes": {
            "best_epoch_": model.best_epoch_,
            "was_interrupted_": model.was_interrupted_,
            "training_": model.training_,
            "reconstruction_error_": model.reconstruction_error_,
        },
        "history": history_lists(model),
    }


def paired_registry(header: dict[str, Any]) -> dict[str, Any]:
    """scvi-tools' registry for a model that is being loaded."""
    setup = {**header["setup"], "forms": header["forms"]}
    unlabeled = setup.get("unlabeled_category", UNKNOWN)
    registry = make_registry(
        "CITEAutoencoder", header["genes"], header["classes"], unlabeled, setup, header["proteins"]
    )
    registry["setup_method_name"] = header["setup_method"]
    if not header["classes"]:
        del registry["field_registries"][REGISTRY_KEYS.LABELS_KEY]
    return registry
