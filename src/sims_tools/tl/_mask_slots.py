"""Where masks go: beside the features that they are over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sims_tools._keys import Keys
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._modality_share import share_of
from sims_tools.data._parts import is_mudata

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from sims_tools.data._align import GeneMatch
    from sims_tools.models import ClassifierModel
    from sims_tools.models._inference import Inferred
    from sims_tools.tl._write import Results


def add_masks(
    results: Results,
    adata: AnnData | MuData,
    keys: Keys,
    model: ClassifierModel,
    match: GeneMatch,
    found: Inferred,
) -> None:
    """Add masks, names of features, and the share of genes to the results.

    Parameters
    ----------
    results
        What is to be written.
    adata
        The user's object; it is only read.
    keys
        Names of the slots.
    model
        What read the cells.
    match
        Its features in the object.
    found
        What it said; without masks only the names are added.
    """
    names = {RNA: model.genes[: model.n_rna].astype(str), PROTEIN: model.proteins.astype(str)}
    own_names = dict(zip((RNA, PROTEIN), np.split(match.query_names, [model.n_rna]), strict=True))
    results.uns |= {"features": names[RNA], "feature_var_names": own_names[RNA]}
    if model.proteins_:
        results.uns |= {"protein_features": names[PROTEIN], "protein_feature_names": own_names[PROTEIN]}
    if is_mudata(adata):
        results.uns["modalities"] = dict(getattr(match, "modalities", {}))
    if found.masks is None:
        return
    results.uns["explanation"] = model.explanation
    if model.proteins_:
        results.obs[keys.rna_share] = share_of(found.masks, model.modality == RNA).astype(np.float32)
    masks = {RNA: found.masks} if not model.proteins_ else _by_modality(found.masks, model.n_rna)
    if not is_mudata(adata):
        results.obsm[keys.masks] = masks[RNA]
        if PROTEIN in masks:
            results.obsm[keys.protein_masks] = masks[PROTEIN]
        return
    for role, modality in results.uns["modalities"].items():
        rows = adata.obs_names.get_indexer(adata.mod[modality].obs_names)
        results.mod_obsm[modality] = {keys.masks: masks[role][rows]}
        results.mod_uns[modality] = {
            "classes": model.classes.astype(str),
            "features": names[role],
            "feature_var_names": own_names[role],
            "explanation": model.explanation,
        }


def _by_modality(masks: sparse.csr_matrix, n_genes: int) -> dict[str, sparse.csr_matrix]:
    return {RNA: masks[:, :n_genes].tocsr(), PROTEIN: masks[:, n_genes:].tocsr()}
