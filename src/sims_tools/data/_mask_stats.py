"""What feature masks amount to over groups of cells, worked out on the sparse matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools._validate import check_obsm_key, listing

from ._features import PROTEIN, RNA, ROLES, feature_names
from ._in_memory import in_memory, uns_entry, uns_or_nothing
from ._mask_rows import MaskRows, runs_of_rows
from ._matrix import with_data
from ._obs_columns import obs_column
from ._parts import is_mudata, spread_rows

REMEDY = (
    "Run `sims.tl.annotate(..., masks=True)` first, and give the same `key` here as `key_added` there. Only models "
    "that have masks, as SIMS does, write them."
)
_NONE = "The annotation was made with `masks='none'`. "


Weights: TypeAlias = sparse.csr_matrix | MaskRows
"""Of cells (n, n_features), in memory or read some at a time."""


@dataclass(frozen=True)
class StoredMasks:
    """The masks of one annotation and the names of their columns.

    Parameters
    ----------
    weights
        (n_obs, n_features), rows sum to one or to nothing.
    features
        The model's names: of genes as they are, of a protein "protein:CD4".
    var_names
        The same features as they are named in this object, "" where it has no such feature.
    modality
        (n_features,) "rna" or "protein".
    """

    weights: MaskRows
    features: NDArray[np.object_]
    var_names: NDArray[np.object_]
    modality: NDArray[np.str_]

    @property
    def modalities(self) -> list[str]:
        """Those that there are features of."""
        return [role for role in ROLES if (self.modality == role).any()]

    def only(self, modality: str) -> StoredMasks:
        """The features of one modality."""
        columns = np.flatnonzero(self.modality == modality)
        names = (getattr(self, each)[columns] for each in ("features", "var_names", "modality"))
        return StoredMasks(self.weights.take(columns), *names)


def read_masks(adata: AnnData | MuData, key: str) -> StoredMasks:
    """The masks that :func:`sims_tools.tl.annotate` left in `adata` under `key`, of all modalities side by side."""
    keys = Keys(key)
    if has_mean_masks(adata, keys):
        raise KeyError(
            f"The annotation {key!r} was made with `masks='mean'`: `adata.uns[{key!r}]['mean_masks']` has the mean "
            "mask of each class, and there are none of single cells. Annotate with `masks='full'` or `'top'`. The "
            "means are enough for `sims.tl.rank_mask_genes`, `sims.get.mask_df`, and the heatmap and bars of "
            "`sims.pl.feature_masks`, where the groups are the annotation itself."
        )
    if is_mudata(adata):
        return _masks_of_mudata(adata, keys)
    facts = uns_or_nothing(adata, keys.uns)
    check_obsm_key(adata, keys.masks, f"{_NONE if 'features' in facts else ''}{REMEDY}")
    facts = uns_entry(adata, keys.uns, REMEDY)
    genes = _part(adata, facts, keys, keys.masks, ("features", "feature_var_names"), RNA)
    here = np.isin(genes.var_names.astype(str), np.asarray(adata.var_names, dtype=str))
    genes = replace(genes, var_names=np.where(here, genes.var_names, ""))
    if keys.protein_masks not in adata.obsm or "protein_features" not in facts:
        return genes
    names = ("protein_features", "protein_feature_names")
    return _side_by_side([genes, _part(adata, facts, keys, keys.protein_masks, names, PROTEIN)])


def has_mean_masks(adata: AnnData | MuData, keys: Keys) -> bool:
    """Whether the means of masks were kept in place of them."""
    return "mean_masks" in uns_or_nothing(adata, keys.uns)


def _masks_of_mudata(mdata: MuData, keys: Keys) -> StoredMasks:
    """Masks of the modalities, one row for each cell of the object; zeros for a modality that was not read."""
    facts, parts, n_stored = uns_entry(mdata, keys.uns, REMEDY), [], 0
    for role, names in ((RNA, "features"), (PROTEIN, "protein_features")):
        name = facts.get("modalities", {}).get(role)
        if name is None and len(facts.get(names, ())):
            own = feature_names(*([], facts[names]) if role == PROTEIN else (facts[names], []))
            parts.append(_nothing(mdata.n_obs, own, role))
        if name is None or name not in mdata.mod:
            continue
        own = mdata.mod[name]
        check_obsm_key(own, keys.masks, REMEDY)
        part = _part(own, uns_entry(own, keys.uns, REMEDY), keys, keys.masks, ("features", "feature_var_names"), role)
        spread = spread_rows(sparse.csr_matrix(own.obsm[keys.masks]), own.obs_names.get_indexer(mdata.obs_names))
        n_stored += spread.nnz
        parts.append(replace(part, weights=MaskRows([spread])))
    if not n_stored:
        raise KeyError(f"No modality of `mdata` has masks under {keys.masks!r} in its `.obsm`. {REMEDY}")
    return _side_by_side(parts)


def _nothing(n_obs: int, features: list[str], role: str) -> StoredMasks:
    """Masks without any weight, of features that the object does not have."""
    names = np.array(features, dtype=object)
    empty = sparse.csr_matrix((n_obs, len(names)), dtype=np.float32)
    return StoredMasks(MaskRows([empty]), names, np.full(len(names), "", dtype=object), np.full(len(names), role))


def _part(
    adata: AnnData, facts: Mapping[str, Any], keys: Keys, slot: str, names: tuple[str, str], role: str
) -> StoredMasks:
    """Masks of one modality with its names, which are checked to be as many."""
    weights = MaskRows([adata.obsm[slot]])
    for name in names:
        found = len(facts[name]) if name in facts else 0
        if found != weights.shape[1]:
            raise ValueError(
                f"`adata.obsm[{slot!r}]` has {weights.shape[1]} columns, but `adata.uns[{keys.uns!r}][{name!r}]` "
                f"names {found} genes. {REMEDY}"
            )
    features, var_names = (np.asarray(facts[name], dtype=object) for name in names)
    if role == PROTEIN:
        features = np.array(feature_names([], list(features)), dtype=object)
    return StoredMasks(weights, features, var_names, np.full(len(features), role))


def _side_by_side(parts: list[StoredMasks]) -> StoredMasks:
    weights = reduce(MaskRows.beside, (part.weights for part in parts))
    names = ("features", "var_names", "modality")
    return StoredMasks(weights, *(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def gene_object(adata: AnnData | MuData, key: str) -> AnnData:
    """The object whose `.var` describes the genes of an annotation: of a MuData, that modality."""
    if not is_mudata(adata):
        return adata
    modalities = uns_or_nothing(adata, Keys(key).uns).get("modalities", {})
    name = modalities.get(RNA, next(iter(modalities.values()), next(iter(adata.mod))))
    return adata.mod[name]


def display_names(adata: AnnData, stored: StoredMasks, gene_symbols: str | None) -> list[str]:
    """The model's names of the features, or of genes the symbols that a column of `adata.var` has for them."""
    names = [str(name) for name in stored.features]
    if gene_symbols is None:
        return names
    var = in_memory(adata.var)
    if gene_symbols not in var.columns:
        raise KeyError(
            f"`gene_symbols={gene_symbols!r}` is not a column of `adata.var`; it has {listing(var.columns)}."
        )
    symbols = dict(zip(adata.var_names, var[gene_symbols].astype(str), strict=True))
    features = zip(stored.var_names, names, stored.modality == RNA, strict=True)
    return [symbols.get(var_name, name) if is_gene else name for var_name, name, is_gene in features]


def label_codes(adata: AnnData | MuData, column: str) -> tuple[NDArray[np.intp], list[str]]:
    """Which label each cell carries (-1: none), and the labels in use, in the order of the categories."""
    values = obs_column(adata, column, "groupby")
    labels = pd.Categorical(values).remove_unused_categories()
    return labels.codes.astype(np.intp), [str(name) for name in labels.categories]


def group_sums(weights: Weights, codes: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    """Column sums of `weights` over the cells of each group, (n_groups, n_features); cells coded -1 are left out."""
    return _sums(weights, codes, n_groups, lambda block: block)


def group_means(weights: Weights, codes: NDArray[np.intp], n_groups: int) -> NDArray[np.float64]:
    """Mean mask of each group, (n_groups, n_features); a group without cells has a mean of zero."""
    sizes = np.bincount(codes[codes >= 0], minlength=n_groups)
    return group_sums(weights, codes, n_groups) / np.maximum(sizes, 1)[:, None]


def group_hits(weights: Weights, codes: NDArray[np.intp], n_groups: int) -> NDArray[np.int64]:
    """How many cells of each group have a gene in their mask, (n_groups, n_features)."""
    hits = _sums(weights, codes, n_groups, lambda block: with_data(block, (block.data > 0).astype(np.float32)))
    return np.rint(hits).astype(np.int64)


def _sums(
    weights: Weights, codes: NDArray[np.intp], n_groups: int, made: Callable[[sparse.csr_matrix], sparse.csr_matrix]
) -> NDArray[np.float64]:
    """Column sums of what is made of the cells of each group, some cells at a time."""
    total = np.zeros((n_groups, weights.shape[1]))
    for run, block in _blocks(weights):
        part = codes[run]
        cells = np.flatnonzero(part >= 0)
        indicator = sparse.csr_matrix((np.ones(cells.size), (part[cells], cells)), shape=(n_groups, part.size))
        total += (indicator @ made(block)).toarray()
    return total


def _blocks(weights: Weights) -> Iterator[tuple[slice, sparse.csr_matrix]]:
    if isinstance(weights, MaskRows):
        return weights.blocks()
    return ((run, weights[run]) for run in runs_of_rows(weights.shape[0]))
