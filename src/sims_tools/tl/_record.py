"""What training leaves on the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sims_tools.models._storage import package_versions
from sims_tools.tl._training_cells import in_words
from sims_tools.tl._write import storable

if TYPE_CHECKING:
    from sims_tools.models import ClassifierModel


def training_record(
    model: ClassifierModel,
    labels_key: str,
    reading: dict[str, Any],
    asked: dict[str, Any],
) -> dict[str, Any]:
    """Entries of `.uns[key]`, plain data.

    Parameters
    ----------
    model
        Trained.
    labels_key
        Where the labels are.
    reading
        How the object was read.
    asked
        How genes and validation cells were chosen.
    """
    if not model.proteins_:
        reading = {name: reading[name] for name in ("layer", "unlabeled_category", "input_kind")}
    reading = {name: in_words(value) if name in ("layer", "input_kind") else value for name, value in reading.items()}
    params = {
        "labels_key": labels_key,
        **reading,
        **asked,
        "model": model.name,
        **model.params_,
        "training": model.training_,
        **({} if model.init_from_ is None else {"init_from": model.init_from_}),
    }
    return {
        "classes": model.classes.astype(str),
        "features": model.genes[: model.n_rna].astype(str),
        **({"protein_features": model.proteins.astype(str)} if model.proteins_ else {}),
        "params": storable(params),
        "versions": package_versions(),
        **({"references": _as_arrays(model.references_)} if model.references_ else {}),
        "metrics": model.metrics,
        "history": model.history_by_epoch,
    }


def _as_arrays(references: dict[str, Any]) -> dict[str, Any]:
    """What `.uns[key]["references"]` says: arrays with an entry for each reference."""
    kept = {name: value for name, value in references.items() if name != "missing"}
    return {name: np.asarray(value) if isinstance(value, list) else value for name, value in kept.items()}
