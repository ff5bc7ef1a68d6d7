"""Which genes decided, as a table."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_positive, listing
from sims_tools.data._class_masks import GroupedMasks, read_grouped_masks
from sims_tools.data._mask_stats import (
    StoredMasks,
    group_hits,
    group_means,
    has_mean_masks,
    label_codes,
    read_masks,
)


def mask_df(
    adata: AnnData | MuData,
    obs_names: str | slice | Collection[str] | Collection[bool] | Collection[int] | None = None,
    *,
    groupby: str | None = None,
    group: str | None = None,
    n_genes: int | None = 20,
    key: str = DEFAULT_KEY,
) -> pd.DataFrame:
    """The genes that decided for one cell, a set of cells, a group, or all cells.

    Parameters
    ----------
    adata
        Annotated cells with masks: the result of ``sims.tl.annotate(..., masks="full")``. Of ``masks="mean"`` a group
        of the annotation itself, or all cells that are called.
    obs_names
        One cell's name, several names, positions, a slice, or a boolean vector over all cells. By default all cells,
        or those of `group`.
    groupby
        Column of `adata.obs` in which to look for `group`; by default the annotation itself.
    group
        Take the cells with this label.
    n_genes
        The most genes to return; `None` for every gene with any weight.
    key
        The `key_added` of the annotation.

    Returns
    -------
    Data frame with one row per gene that has weight in these cells, highest weight first (genes of equal weight in
    the model's order):

    `gene`
        The model's name of the gene, or of the protein: "protein:CD4".
    `var_name`
        Its name in `adata.var_names`, missing where `adata` does not have the gene. Of a protein its name there.
    `modality`
        "rna" or "protein"; there where the model has both.
    `weight`
        Mean share of the mask over these cells; over all genes it sums to 1, or less where some cells are empty.
    `n_cells`, `share_of_cells`
        How many of these cells have the gene in their mask, and what share of them that is; NaN of ``masks="mean"``.

    Examples
    --------
    >>> sims.get.mask_df(adata, "AAACCTG-1")
    >>> sims.get.mask_df(adata, group="B cell", n_genes=10)
    """
    if n_genes is not None:
        check_positive("n_genes", n_genes)
    if obs_names is not None and (group is not None or groupby is not None):
        raise ValueError("Give either `obs_names` or `group` (with `groupby`), not both.")
    column = Keys(key).label if groupby is None else groupby
    if obs_names is None and has_mean_masks(adata, Keys(key)) and column == Keys(key).label:
        stored, mean, hits, n_cells = _of_means(read_grouped_masks(adata, key, column), group, groupby, column)
    else:
        stored, mean, hits, n_cells = _of_cells(adata, obs_names, groupby, group, key)
    best = np.argsort(-mean, kind="stable")
    best = best[mean[best] > 0][:n_genes]
    var_names = pd.Series(stored.var_names[best])
    return pd.DataFrame(
        {
            "gene": stored.features[best],
            "var_name": var_names.where(var_names != ""),
            **({"modality": stored.modality[best]} if len(stored.modalities) > 1 else {}),
            "weight": mean[best],
            "n_cells": hits[best],
            "share_of_cells": hits[best] / n_cells,
        }
    )


Averaged = tuple[StoredMasks, NDArray[np.float64], NDArray[Any], int]
"""Masks; of each feature the mean weight and how many cells have it; and the number of cells."""


def _of_cells(adata: AnnData | MuData, obs_names: Any, groupby: str | None, group: str | None, key: str) -> Averaged:
    """Over some cells: those that are named are read, of the others some at a time."""
    stored = read_masks(adata, key)
    if obs_names is None:
        weights, codes = stored.weights, _codes(adata, groupby, group, key)
    else:
        weights = stored.weights.read(_rows(adata, obs_names))
        codes = np.zeros(weights.shape[0], dtype=np.intp)
    n_cells = int((codes == 0).sum())
    if not n_cells:
        raise ValueError("No cell was selected, so there is no mask to average.")
    return stored, group_means(weights, codes, 1)[0], group_hits(weights, codes, 1)[0], n_cells


def _of_means(masks: GroupedMasks, group: str | None, groupby: str | None, column: str) -> Averaged:
    """Over the cells of a group, or all that are called, where only means were kept."""
    _check_group(group, groupby)
    chosen = slice(None) if group is None else slice(at := _position(group, masks.groups, column), at + 1)
    n_cells = int(masks.sizes[chosen].sum())
    mean = masks.sizes[chosen] @ masks.stored.weights.dense_columns(np.arange(len(masks.stored.features)))[chosen]
    return masks.stored, mean / n_cells, np.full(len(mean), np.nan), n_cells


def _codes(adata: AnnData | MuData, groupby: str | None, group: str | None, key: str) -> NDArray[np.intp]:
    """(n_obs,) 0 for the cells labelled `group`, or all cells, and -1 for others."""
    _check_group(group, groupby)
    if group is None:
        return np.zeros(adata.n_obs, dtype=np.intp)
    groupby = Keys(key).label if groupby is None else groupby
    codes, names = label_codes(adata, groupby)
    return np.where(codes == _position(group, names, groupby), 0, -1)


def _check_group(group: str | None, groupby: str | None) -> None:
    if group is None and groupby is not None:
        raise ValueError(f"`groupby={groupby!r}` needs `group`: the label whose cells to take.")


def _position(group: str, names: list[str], groupby: str) -> int:
    """Of a group among all."""
    if str(group) not in names:
        close = get_close_matches(str(group), names, n=3)
        hint = f" Did you mean {listing(close)}?" if close else ""
        raise KeyError(f"`adata.obs[{groupby!r}]` has no cell labelled {group!r}; it has {listing(names)}.{hint}")
    return names.index(str(group))


def _rows(
    adata: AnnData | MuData, obs_names: str | slice | Collection[str] | Collection[bool] | Collection[int]
) -> NDArray[np.intp]:
    """Positions of the cells meant by `obs_names`."""
    if isinstance(obs_names, slice):
        return np.arange(adata.n_obs)[obs_names]
    wanted = pd.Index([obs_names] if isinstance(obs_names, str) else obs_names)
    if pd.api.types.is_bool_dtype(wanted):
        if len(wanted) != adata.n_obs:
            raise ValueError(f"A boolean `obs_names` must have one value per cell ({adata.n_obs}), not {len(wanted)}.")
        return np.flatnonzero(wanted.to_numpy(dtype=bool))
    if pd.api.types.is_integer_dtype(wanted):
        outside = wanted[(wanted < -adata.n_obs) | (wanted >= adata.n_obs)]
        if len(outside):
            raise IndexError(f"`obs_names` has positions outside the {adata.n_obs} cells: {listing(outside)}.")
        return np.arange(adata.n_obs)[wanted.to_numpy(dtype=np.intp)]
    missing = wanted[~wanted.isin(adata.obs_names)]
    if len(missing):
        close = get_close_matches(str(missing[0]), list(adata.obs_names[:100_000]), n=3)
        hint = f" Did you mean {listing(close)}?" if close else f" Names look like {listing(adata.obs_names[:3])}."
        raise KeyError(f"Not in `adata.obs_names`: {listing(missing)}.{hint}")
    return adata.obs_names.get_indexer_for(wanted).astype(np.intp)
