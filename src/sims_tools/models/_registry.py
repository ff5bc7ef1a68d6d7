"""scvi-tools' registry, written by hand so that a model can be built without data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import scvi
from scvi import REGISTRY_KEYS

from sims_tools._keys import UNKNOWN
from sims_tools._validate import listing
from sims_tools.data._align import check_unique
from sims_tools.data._dataset import PROTEINS


def make_registry(
    model_name: str,
    genes: Sequence[str],
    classes: Sequence[str],
    unlabeled_category: str,
    setup_args: dict[str, Any],
    proteins: Sequence[str] = (),
    n_cells: int = 0,
) -> dict[str, Any]:
    """The registry of an object with these genes and classes, as `setup_anndata` leaves it.

    Parameters
    ----------
    model_name
        Name of the model class.
    genes, classes
        What the model knows.
    unlabeled_category
        The category after the classes.
    setup_args
        Arguments of `setup_anndata`.
    proteins
        What the model knows beside genes.
    n_cells
        Labelled cells that it is to be trained on, to which the number of networks may be fitted.
    """
    genes, classes = list(map(str, genes)), list(map(str, classes))
    fields = {
        REGISTRY_KEYS.X_KEY: {
            "data_registry": {"attr_name": "X", "attr_key": None},
            "state_registry": {"n_obs": n_cells, "n_vars": len(genes), "column_names": genes},
            "summary_stats": {"n_vars": len(genes), "n_cells": n_cells},
        },
        REGISTRY_KEYS.LABELS_KEY: {
            "data_registry": {"attr_name": "obs", "attr_key": "_scvi_labels"},
            "state_registry": {
                "categorical_mapping": [*classes, unlabeled_category],
                "original_key": setup_args.get("labels_key", "labels"),
                "unlabeled_category": unlabeled_category,
            },
            "summary_stats": {"n_labels": len(classes) + 1},
        },
    }
    if len(proteins):
        fields[PROTEINS] = {
            "data_registry": {"attr_name": "obsm", "attr_key": PROTEINS},
            "state_registry": {"column_names": list(map(str, proteins))},
            "summary_stats": {"n_proteins": len(proteins)},
        }
    return {
        "scvi_version": scvi.__version__,
        "model_name": model_name,
        "setup_args": setup_args,
        "setup_method_name": "setup_anndata",
        "_scvi_uuid": "",
        "field_registries": fields,
    }


def as_set_up(registry: dict[str, Any], model_name: str, genes: Iterable[str] | None = None) -> dict[str, Any]:
    """The registry that a data module brings, as `setup_anndata` would have left it; any other as it is.

    scvi-tools saves and loads models of other registries in a way of its own, for which it wants the module again.

    Parameters
    ----------
    registry
        Its labels may or may not name a category that means "no label".
    model_name
        Name of the model class.
    genes
        Names instead of those in the registry.

    Raises
    ------
    ValueError
        There are fewer than two classes, or genes are named more than once.
    """
    if registry.get("setup_method_name") in ("setup_anndata", "setup_mudata"):
        return registry
    fields = registry["field_registries"]
    state = fields[REGISTRY_KEYS.LABELS_KEY]["state_registry"]
    unlabeled = str(state.get("unlabeled_category") or UNKNOWN)
    classes = [str(name) for name in state["categorical_mapping"] if str(name) != unlabeled]
    if len(classes) < 2:
        raise ValueError(
            f"The registry names {len(classes)} classes ({listing(classes)}) beside {unlabeled!r}; a classifier needs "
            "at least two. Is the data module made with the right column of labels?"
        )
    named = fields[REGISTRY_KEYS.X_KEY]["state_registry"]["column_names"] if genes is None else genes
    genes = [str(name) for name in named]
    check_unique(pd.Index(genes))
    setup = {"labels_key": str(state.get("original_key", "labels"))}
    n_cells = int(fields[REGISTRY_KEYS.X_KEY].get("summary_stats", {}).get("n_cells", 0))
    return make_registry(model_name, genes, classes, unlabeled, setup, n_cells=n_cells)
