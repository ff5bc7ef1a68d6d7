"""Whether other models of the same cells look at the same genes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray
from scipy import sparse

from sims_tools._validate import listing
from sims_tools.data._mask_stats import read_masks
from sims_tools.data._rank_scores import jaccard, spearman, top
from sims_tools.models import ClassifierModel, load
from sims_tools.tl._mask_cells import MaskCells

Other = ClassifierModel | str | Path


def masks_of_model(model: ClassifierModel, cells: MaskCells, batch_size: int) -> sparse.csr_matrix:
    """Masks (n, n_features) that a model gives to the chosen cells.

    Raises
    ------
    ValueError
        Its architecture has none.
    """
    blocks = [each.masks for each in model.read_rows(*cells.read_by(model), batch_size=batch_size, explain=True)]
    if any(block is None for block in blocks):
        raise ValueError(f"Networks of the architecture {model.name!r} have no masks; there is nothing to examine.")
    return sparse.vstack(blocks, format="csr")


def stability(
    adata: AnnData | MuData,
    cells: MaskCells,
    features: NDArray[np.object_],
    retrained: Sequence[Other] | Other,
    *,
    n_top: int,
    batch_size: int,
) -> pd.DataFrame:
    """Compare the mean masks of each class among several models, pair by pair.

    Parameters
    ----------
    adata
        The user's object, where `retrained` may name other annotations.
    cells
        The cells, whose labels make the classes for all models alike.
    features
        (n_features,) genes of their masks.
    retrained
        Other models, folders of saved ones, or keys of annotations with masks.
    n_top
        How many of the heaviest genes to compare as sets.
    batch_size
        Cells at a time.

    Returns
    -------
    One row per class: `n_cells`, `n_models`, and over all pairs the mean `jaccard` index of the heaviest genes and
    the mean `spearman` correlation of the weights.
    """
    others = [retrained] if isinstance(retrained, ClassifierModel | str | Path) else list(retrained)
    if not others:
        raise ValueError("`retrained` is empty; leave it out, and stability is not measured.")
    frames = [pd.DataFrame(cells.mask_means.T, index=features.astype(str))]
    frames += [_class_means(adata, cells, other, batch_size) for other in others]
    genes = frames[0].index
    for frame in frames[1:]:
        genes = genes.union(frame.index, sort=False)
    means = [frame.reindex(genes, fill_value=0.0).to_numpy().T for frame in frames]
    pairs = list(combinations(means, 2))
    return pd.DataFrame(
        {
            "class": cells.classes,
            "n_cells": cells.sizes,
            "n_models": len(means),
            "jaccard": [
                np.mean([jaccard(top(one[code], n_top), top(other[code], n_top)) for one, other in pairs])
                for code in range(len(cells.classes))
            ],
            "spearman": [
                np.mean([spearman(one[code], other[code]) for one, other in pairs])
                for code in range(len(cells.classes))
            ],
        }
    )


def _class_means(adata: AnnData | MuData, cells: MaskCells, other: Other, batch_size: int) -> pd.DataFrame:
    """Mean masks of one model or annotation, genes in rows."""
    if isinstance(other, str) and other in adata.uns:
        stored = read_masks(adata, other)
        return pd.DataFrame(cells.means_of(stored.weights.read(cells.rows)).T, index=stored.features.astype(str))
    if isinstance(other, str | Path):
        if not Path(other).exists():
            raise FileNotFoundError(
                f"`retrained` names {str(other)!r}, which is neither a key of `adata.uns` (it has "
                f"{listing(adata.uns)}) nor the folder of a saved model."
            )
        other = load(other)
    if not isinstance(other, ClassifierModel):
        raise TypeError(
            f"`retrained` holds a {type(other).__name__}; expected trained models, folders of saved ones, or keys of "
            "annotations with masks."
        )
    means = cells.means_of(masks_of_model(other, cells, batch_size))
    return pd.DataFrame(means.T, index=other.genes.astype(str))
