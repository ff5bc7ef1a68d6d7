"""Masks by the groups that cells were called, also where only their means were kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray
from scipy import sparse

from sims_tools._keys import Keys

from ._features import PROTEIN, RNA, feature_names
from ._in_memory import uns_entry
from ._mask_rows import MaskRows
from ._mask_stats import REMEDY, StoredMasks, group_sums, has_mean_masks, label_codes, read_masks


@dataclass(frozen=True)
class GroupedMasks:
    """Masks, and the groups of their rows.

    Attributes
    ----------
    stored
        A row for each cell, or where only means were kept, one for each group.
    codes
        Group of each row, -1 for none.
    groups
        Names.
    sizes
        (n_groups,) cells.
    only_means
        Rows are groups.
    """

    stored: StoredMasks
    codes: NDArray[np.intp]
    groups: list[str]
    sizes: NDArray[np.intp]
    only_means: bool = False

    def total(self) -> NDArray[np.float64]:
        """(n_features,) weights summed over all cells; of means, over those that are of a group."""
        if self.only_means:
            return self.sizes @ group_sums(self.stored.weights, self.codes, len(self.groups))
        return group_sums(self.stored.weights, np.zeros(self.stored.weights.shape[0], dtype=np.intp), 1)[0]


def group_masks(adata: AnnData | MuData, key: str, groupby: str) -> GroupedMasks:
    """Masks of cells by the groups of a column.

    Raises
    ------
    KeyError
        There are no masks of cells, or no such column.
    """
    stored, (codes, groups) = read_masks(adata, key), label_codes(adata, groupby)
    return GroupedMasks(stored, codes, groups, np.bincount(codes[codes >= 0], minlength=len(groups)))


def read_grouped_masks(adata: AnnData | MuData, key: str, groupby: str) -> GroupedMasks:
    """Masks by the groups of a column; where only means were kept, by the classes that they are of.

    Parameters
    ----------
    adata
        Annotated.
    key
        The `key_added` of the annotation.
    groupby
        Column of `.obs`.

    Raises
    ------
    KeyError
        There are no masks, or only means, and the groups are others.
    """
    keys = Keys(key)
    if not has_mean_masks(adata, keys) or groupby != keys.label:
        return group_masks(adata, key, groupby)
    facts = uns_entry(adata, keys.uns, REMEDY)
    n_cells = np.asarray(facts["mean_mask_cells"])
    used = np.flatnonzero(n_cells)
    proteins = list(facts.get("protein_features", ()))
    var_names = np.concatenate([facts["feature_var_names"], facts.get("protein_feature_names", [])]).astype(object)
    stored = StoredMasks(
        MaskRows([sparse.csr_matrix(np.asarray(facts["mean_masks"])[used])]),
        np.array(feature_names(list(facts["features"]), proteins), dtype=object),
        var_names,
        np.repeat([RNA, PROTEIN], [len(facts["features"]), len(proteins)]),
    )
    names = [str(facts["classes"][code]) for code in used]
    return GroupedMasks(stored, np.arange(len(used), dtype=np.intp), names, n_cells[used], only_means=True)
