"""Where masks go: beside the features that they are over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sims_tools._keys import Keys
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._joint_match import JointMatch
from sims_tools.data._parts import is_mudata
from sims_tools.tl._mask_modes import mean_masks

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData
    from scipy import sparse

    from sims_tools.data._align import GeneMatch
    from sims_tools.models import ClassifierModel
    from sims_tools.tl._mask_modes import KeptMasks
    from sims_tools.tl._write import Results


def describe_features(model: ClassifierModel, match: GeneMatch, *, masks: bool) -> dict[str, Any]:
    """Entries of `.uns[key]` on features and their masks, where there are any.

    Parameters
    ----------
    model
        What read the cells.
    match
        Its features in the object.
    masks
        Whether there are masks.
    """
    names, own_names = _names(model, match)
    facts: dict[str, Any] = {"features": names[RNA], "feature_var_names": own_names[RNA]}
    if model.proteins_:
        facts |= {"protein_features": names[PROTEIN], "protein_feature_names": own_names[PROTEIN]}
    if isinstance(match, JointMatch) and match.modalities:
        facts["modalities"] = dict(match.modalities)
    return facts | ({"explanation": model.explanation} if masks else {})


def add_masks(
    results: Results,
    adata: AnnData | MuData | None,
    keys: Keys,
    model: ClassifierModel,
    match: GeneMatch,
    masks: sparse.csr_matrix | None,
    kept: KeptMasks,
) -> None:
    """Add masks, or the means of them, and the share of genes to the results.

    Parameters
    ----------
    results
        What is to be written.
    adata
        The user's object, only read; None stands for an AnnData.
    keys
        Names of the slots.
    model
        What read the cells.
    match
        Its features in the object.
    masks
        Those of all cells that are to be kept; None for none.
    kept
        What was kept beside them.
    """
    if kept.rna_share is not None:
        results.obs[keys.rna_share] = kept.rna_share
    if kept.sums is not None:
        results.uns |= {
            "mean_masks": mean_masks(kept.sums.sums, kept.sums.n_cells),
            "mean_mask_cells": kept.sums.n_cells,
        }
    if masks is None:
        return
    of_role = {RNA: masks} if not model.proteins_ else _by_modality(masks, model.n_rna)
    if adata is None or not is_mudata(adata):
        results.obsm[keys.masks] = of_role[RNA]
        if PROTEIN in of_role:
            results.obsm[keys.protein_masks] = of_role[PROTEIN]
        return
    names, own_names = _names(model, match)
    for role, modality in results.uns["modalities"].items():
        rows = adata.obs_names.get_indexer(adata.mod[modality].obs_names)
        results.mod_obsm[modality] = {keys.masks: of_role[role][rows]}
        results.mod_uns[modality] = {
            "classes": model.classes.astype(str),
            "features": names[role],
            "feature_var_names": own_names[role],
            "explanation": model.explanation,
        }


def _names(model: ClassifierModel, match: GeneMatch) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Names of the features of each modality: the model's, and those in the object."""
    own_names = np.split(match.query_names, [model.n_rna])
    return (
        {RNA: model.genes[: model.n_rna].astype(str), PROTEIN: model.proteins.astype(str)},
        dict(zip((RNA, PROTEIN), own_names, strict=True)),
    )


def _by_modality(masks: sparse.csr_matrix, n_genes: int) -> dict[str, sparse.csr_matrix]:
    return {RNA: masks[:, :n_genes].tocsr(), PROTEIN: masks[:, n_genes:].tocsr()}
