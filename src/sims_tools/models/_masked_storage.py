"""What the folder of a pretrained model says about it, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scvi import REGISTRY_KEYS

from sims_tools._keys import UNKNOWN
from sims_tools.models._registry import make_registry
from sims_tools.models._storage import describe_transform, history_lists, package_versions


def describe_pretrained(model: Any) -> dict[str, Any]:
    """The JSON-ready header of a trained model."""
    return {
        "model": model.name,
        "method": model.reference,
        "citation": model.reference,
        "versions": package_versions(),
        "genes": model.genes_,
        "transform": describe_transform(model),
        "params": model.params_,
        "metrics": model.metrics,
        "attributes": {
            "best_epoch_": model.best_epoch_,
            "was_interrupted_": model.was_interrupted_,
            "training_": model.training_,
        },
        "history": history_lists(model),
    }


def unlabelled_registry(model_name: str, genes: Sequence[str]) -> dict[str, Any]:
    """scvi-tools' registry for a model that knows genes and no classes."""
    registry = make_registry(model_name, genes, [], UNKNOWN, {})
    del registry["field_registries"][REGISTRY_KEYS.LABELS_KEY]
    return registry
