"""What feature masks amount to over groups of cells, worked out on the sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools._validate import check_obsm_key, check_uns_key

_REMEDY = "Run `sims.tl.annotate(..., masks=True)` first, and give the same `key` here as `key_added` there."
_ROWS = 1 << 16  # cells per product: bounds the float64 copy that scipy makes of a float32 block


@dataclass(frozen=True)
class StoredMasks:
    """The masks of one annotation and the names of their columns.

    Parameters
    ----------
    weights
        (n_obs, n_features), rows sum to one or to nothing.
    features
        The model's gene names.
    var_names
        The same genes as they are named in this object's `var_names`, "" where it has no such gene.
    """

    weights: sparse.csr_matrix
    features: NDArray[np.object_]
    var_names: NDArray[np.object_]


def read_masks(adata: AnnData, key: str) -> StoredMasks:
    """The masks that :func:`sims_tools.tl.annotate` left in `adata` under `key`."""
    keys = Keys(key)
    check_obsm_key(adata, keys.masks, _REMEDY)
    check_uns_key(adata, keys.uns, _REMEDY)
    weights = sparse.csr_matrix(adata.obsm[keys.masks])
    facts = adata.uns[keys.uns]
    for name in ("features", "feature_var_names"):
        found = len(facts[name]) if name in facts else 0
        if found != weights.shape[1]:
            raise ValueError(
                f"`adata.obsm[{keys.masks!r}]` has {weights.shape[1]} columns, but `adata.uns[{keys.uns!r}][{name!r}]` "
                f"names {found} genes. {_REMEDY}"
            )
    features = np.asarray(facts["features"], dtype=object)
    var_names = np.asarray(facts["feature_var_names"], dtype=object)
    here = np.isin(var_names.astype(str), np.asarray(adata.var_names, dtype=str))
    return StoredMasks(weights, features, np.where(here, var_names, ""))


def label_codes(adata: AnnData, column: str) -> tuple[NDArray[np.intp], list[str]]:
    """Which label each cell carries (-1: none), and the labels in use, in the order of the categories."""
    values = adata.obs[column]
    labels = pd.Categorical(values).remove_unused_categories()
    return labels.codes.astype(np.intp), [str(name) for name in labels.categories]


def group_sums(weights: sparse.csr_matrix, codes: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    """Column sums of `weights` over the cells of each group, (n_groups, n_features); cells coded -1 are left out."""
    total = np.zeros((n_groups, weights.shape[1]))
    for start in range(0, weights.shape[0], _ROWS):
        part = codes[start : start + _ROWS]
        cells = np.flatnonzero(part >= 0)
        indicator = sparse.csr_matrix((np.ones(cells.size), (part[cells], cells)), shape=(n_groups, part.size))
        total += (indicator @ weights[start : start + _ROWS]).toarray()
    return total


def group_means(weights: sparse.csr_matrix, codes: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    """Mean mask of each group, (n_groups, n_features); a group without cells has a mean of zero."""
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups)
    return group_sums(weights, codes, n_groups) / np.maximum(sizes, 1)[:, None]


def group_hits(weights: sparse.csr_matrix, codes: NDArray[np.intp], n_groups: int) -> NDArray[np.int64]:
    """How many cells of each group have a gene in their mask, (n_groups, n_features)."""
    held = sparse.csr_matrix(((weights.data > 0).astype(np.float32), weights.indices, weights.indptr), weights.shape)
    return np.rint(group_sums(held, codes, n_groups)).astype(np.int64)
