"""How masks share themselves among the modalities, over groups of cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools._validate import check_object

from ._features import PROTEIN, RNA
from ._mask_stats import label_codes, read_masks
from ._matrix import rows_of
from ._obs_columns import obs_column


def modality_shares(adata: AnnData | MuData, key: str) -> np.ndarray:
    """(n_obs,) share of genes in the mask of each cell; NaN where there is no mask.

    It is what annotation has written, also where masks were not kept, or only the heaviest features of them.

    Raises
    ------
    ValueError
        The masks are over genes alone.
    """
    written = Keys(key).rna_share
    check_object(adata)
    if written in adata.obs.columns:
        return obs_column(adata, written, "key").to_numpy(dtype=float)
    stored = read_masks(adata, key)
    if stored.modalities != [RNA, PROTEIN]:
        raise ValueError(
            f"The masks under {key!r} are over {' and '.join(stored.modalities)} alone; shares of modalities are "
            "there where a model of genes and proteins has annotated."
        )
    return np.concatenate([share_of(block, stored.modality == RNA) for _, block in stored.weights.blocks()])


def share_of(masks: sparse.csr_matrix, columns: np.ndarray) -> np.ndarray:
    """(n,) share of some features, as a mask (p,), in masks (n, p); NaN where a cell's is empty."""
    rows = rows_of(masks)
    total, own = (
        np.bincount(rows, weights=values, minlength=masks.shape[0])
        for values in (masks.data, np.where(columns[masks.indices], masks.data, 0))
    )
    return np.where(total > 0, own / np.where(total > 0, total, 1.0), np.nan)


def share_table(adata: AnnData | MuData, groupby: str | None, key: str) -> pd.DataFrame:
    """What :func:`sims_tools.get.modality_share_df` returns."""
    shares = modality_shares(adata, key)
    codes, groups = label_codes(adata, Keys(key).label if groupby is None else groupby)
    rows = []
    for code, group in enumerate(groups):
        own = shares[(codes == code) & ~np.isnan(shares)]
        low, middle, high = np.quantile(own, [0.25, 0.5, 0.75]) if own.size else (np.nan,) * 3
        mean = float(own.mean()) if own.size else np.nan
        rows.append(
            {
                "group": group,
                "n_cells": own.size,
                "rna": mean,
                "protein": 1 - mean,
                "rna_q25": low,
                "rna_median": middle,
                "rna_q75": high,
            }
        )
    return pd.DataFrame(rows)
