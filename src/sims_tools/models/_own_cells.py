"""The cells a model is set up with, as it trains on them."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from scipy import sparse
from scvi import REGISTRY_KEYS

from sims_tools.data._dataset import PROTEINS, TOTALS, CellDataset
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._joint import JointRows
from sims_tools.data._joint_match import match_parts
from sims_tools.data._kind import InputKind, resolve_kind
from sims_tools.data._linear import linear_matrix
from sims_tools.data._matrix import is_in_memory
from sims_tools.data._parts import Part, Parts, proteins_of_obsm, read_parts
from sims_tools.data._query import Query

_BLOCK = 4096


def own_cells(model: Any) -> CellDataset:
    """The cells that a model is registered with.

    Raises
    ------
    ValueError
        It holds none.
    """
    manager = model.adata_manager
    if manager is None:
        raise ValueError(
            "The model holds no cells to train on: it was loaded, trained by `tl`, or built from a registry. Give "
            "those of a data module with `datamodule=`."
        )
    labels = _own_labels(model)
    if model.proteins_:
        return _joint_cells(model, labels)
    layer = manager.data_registry[REGISTRY_KEYS.X_KEY].attr_key
    matrix, totals = manager.get_from_registry(REGISTRY_KEYS.X_KEY), own_totals(model)
    kind = resolve_kind(model.adata, layer, model.registry_["setup_args"].get("input_kind", "auto"))
    if is_in_memory(matrix):
        matrix, totals = linear_matrix(model.adata, layer, kind, totals)
        kind = InputKind("linear")
    return CellDataset(matrix, labels, kind, totals, np.arange(len(labels)))


def _own_labels(model: Any) -> np.ndarray:
    """(n_obs,) class codes, -1 for none; -1 throughout for a model that is set up without labels."""
    manager = model.adata_manager
    if REGISTRY_KEYS.LABELS_KEY not in manager.data_registry:
        return np.full(model.adata.n_obs, -1)
    labels = manager.get_from_registry(REGISTRY_KEYS.LABELS_KEY).ravel().astype(np.int64)
    labels[labels == len(model.classes_)] = -1
    return labels


def own_totals(model: Any) -> np.ndarray | None:
    """(n_obs,) totals that were registered with a model's cells; None where none were."""
    manager = model.adata_manager
    if manager is None or TOTALS not in manager.data_registry:
        return None
    registered = manager.get_from_registry(TOTALS)
    return None if registered is None else np.asarray(registered, dtype=np.float64).ravel()


def own_parts(model: Any) -> Parts:
    """Genes and proteins that a model is registered with."""
    setup, adata = model.registry_["setup_args"], model.adata
    if isinstance(adata, AnnData):
        names = model.registry_["field_registries"][PROTEINS]["state_registry"]["column_names"]
        proteins = proteins_of_obsm(adata, setup["protein_obsm_key"], names)
        place = f"`adata.obsm[{setup['protein_obsm_key']!r}]`"
        both = {RNA: Part(RNA, "`adata`", adata, setup.get("layer")), PROTEIN: Part(PROTEIN, place, proteins)}
        return Parts(adata.obs_names, both, {})
    modalities = {role: setup["modalities"][role] for role in (RNA, PROTEIN)}
    return read_parts(
        adata, modalities=modalities, layer=setup.get("rna_layer"), protein_layer=setup.get("protein_layer")
    )


def _joint_cells(model: Any, labels: np.ndarray) -> CellDataset:
    """All features on the model's linear scale, in memory."""
    parts = own_parts(model)
    match, parts = match_parts(parts, model.genes_[: model.n_rna], model.proteins_, model.gene_weights)
    rows = JointRows(
        parts,
        input_kind=model.registry_["setup_args"].get("input_kind", "auto"),
        transform=model.params_["protein_transform"],
        proteins=match.read_proteins,
        totals=own_totals(model),
    )
    blocks = list(Query(rows, match).blocks(_BLOCK))
    matrix = sparse.vstack([block for _, block, _ in blocks], format="csr")
    totals = np.concatenate([total for *_, total in blocks])
    labelled_in = model.registry_["setup_args"].get("modalities", {}).get("labels_key") if parts.names else None
    if labelled_in is not None:
        labels = labels[model.adata.mod[labelled_in].obs_names.get_indexer(parts.obs_names)]
    return CellDataset(matrix, labels, InputKind("linear"), totals, np.arange(len(labels)))
