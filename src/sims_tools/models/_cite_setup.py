"""Checks of RNA and protein, and how scvi-tools is to register them."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scvi import REGISTRY_KEYS
from scvi.data.fields import (
    LabelsWithUnlabeledObsField,
    LayerField,
    MuDataLabelsWithUnlabeledObsField,
    MuDataLayerField,
    ObsmField,
)

from sims_tools._validate import listing
from sims_tools.data._dataset import PROTEINS
from sims_tools.data._labels import check_clean_labels
from sims_tools.data._paired import Where, find_pair
from sims_tools.data._paired_cells import read_kinds
from sims_tools.data._parts import is_mudata
from sims_tools.models._cite_knowledge import check_kinds, labels_column, labels_modality

_AS_IT_IS: dict[str, Any] = {"is_count_data": False, "correct_data_format": False}


def check_setup(data: Any, where: Where, setup: dict[str, Any]) -> None:
    """Raise where the cells could not be trained on; nothing was written by then.

    Parameters
    ----------
    data
        MuData or AnnData.
    where
        Where RNA and protein are.
    setup
        Arguments of the setup.
    """
    check_kinds(setup["rna_kind"], setup["protein_kind"])
    if getattr(data, "is_view", False):
        raise ValueError("The cells are a view, which scvi-tools cannot register; set up a copy, `data.copy()`.")
    pair = find_pair(data, where)
    read_kinds(pair, setup["rna_kind"], setup["protein_kind"])
    chosen_genes(pair.rna, setup["mask_var"])
    if setup["labels_key"] is not None:
        labels = labels_column(data, setup["labels_key"], where)
        check_clean_labels(labels, setup["unlabeled_category"])
        classes = sorted(set(labels.astype(str)) - {setup["unlabeled_category"]})
        if len(classes) < 2:
            raise ValueError(
                f"`labels_key={setup['labels_key']!r}` has {len(classes)} class ({listing(classes)}); a classifier "
                "needs at least two."
            )


def paired_fields(data: Any, where: Where, setup: dict[str, Any]) -> list[Any]:
    """scvi-tools' fields of RNA, proteins and, where a setup names them, labels."""
    labels_key, unlabeled = setup["labels_key"], setup["unlabeled_category"]
    fields: list[Any]
    if is_mudata(data):
        layers = ((REGISTRY_KEYS.X_KEY, where.rna_layer, where.rna), (PROTEINS, where.protein_layer, where.protein))
        fields = [
            MuDataLayerField(key, layer, mod_key=name, mod_required=True, **_AS_IT_IS) for key, layer, name in layers
        ]
        if labels_key is not None:
            of = labels_modality(data, labels_key, where)
            fields.append(
                MuDataLabelsWithUnlabeledObsField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled, mod_key=of)
            )
    else:
        proteins = ObsmField(PROTEINS, where.protein_obsm_key, **_AS_IT_IS)
        fields = [LayerField(REGISTRY_KEYS.X_KEY, where.rna_layer, **_AS_IT_IS), proteins]
        if labels_key is not None:
            fields.append(LabelsWithUnlabeledObsField(REGISTRY_KEYS.LABELS_KEY, labels_key, unlabeled))
    return fields


def chosen_genes(rna: AnnData, mask_var: str | None) -> np.ndarray:
    """Names of the genes that a model is to read: all, or those that a boolean column of `.var` marks.

    Raises
    ------
    KeyError
        There is no such column.
    ValueError
        It is not boolean, or marks no gene.
    """
    names = rna.var_names.to_numpy().astype(str)
    if mask_var is None:
        return names
    if mask_var not in rna.var.columns:
        raise KeyError(
            f"`mask_var={mask_var!r}` is not a column of the RNA's `.var`; it has {listing(rna.var.columns)}."
        )
    marked = rna.var[mask_var].to_numpy()
    if marked.dtype != bool or not marked.any():
        raise ValueError(
            f"`mask_var={mask_var!r}` has to be True for the genes to use and False for others; found {marked.dtype} "
            f"with {len(set(marked.tolist()))} different values."
        )
    return names[marked]
