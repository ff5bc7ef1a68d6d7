"""Genes ranked by the attention a model paid to them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_choice, check_positive, listing
from sims_tools.data._class_masks import read_grouped_masks
from sims_tools.data._features import RNA
from sims_tools.data._mask_stats import StoredMasks, gene_object, group_means
from sims_tools.tl._opened import opened

_EPS = 1e-6  # added to both means of the fold change: a gene that nobody else looks at keeps a finite one


@docs.dedent
def rank_mask_genes(
    adata: AnnData | MuData | str | Path,
    groupby: str | None = None,
    *,
    key: str = DEFAULT_KEY,
    key_added: str = "rank_mask_genes",
    modality: Literal["rna", "protein"] | None = None,
    rank_by: Literal["weight", "difference"] = "weight",
    n_genes: int | None = None,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Rank, for each group of cells, the genes that decided there.

    The mean feature mask of the cells in a group says what share of the decision each gene took; the mean over the
    other labelled cells is set against it. The result has the form of :func:`scanpy.tl.rank_genes_groups`, so that
    :func:`scanpy.get.rank_genes_groups_df` reads it and :func:`scanpy.pl.rank_genes_groups` and its relatives
    (dot plot, matrix plot, heatmap) draw it when they are given `key="rank_mask_genes"`.

    A mask tells where the model looked, not what differs between groups: nothing is tested here, and there are no
    p-values. Genes of the model that `adata` lacks are left out of the ranking, and their share is recorded.

    Parameters
    ----------
    adata
        Annotated cells with masks: the result of :func:`~sims_tools.tl.annotate`. Those of ``masks="mean"`` will do
        where the groups are the annotation itself; cells without a call are in no group, then.
        %(or_store)s
    groupby
        Column of `adata.obs` that holds the groups; by default the annotation itself. Cells without a label are
        left out, as are categories without cells.
    key
        The `key_added` of the annotation.
    key_added
        Where in `adata.uns` the ranking goes.
    modality
        Of a model of genes and proteins, rank those of one modality; by default of both. scanpy's plots know the
        genes of an AnnData only: give them a ranking of `"rna"`.
    rank_by
        Order genes by their mean weight in the group (`"weight"`), or by how much that exceeds their mean weight in
        the other cells (`"difference"`), which passes over genes that the model looks at in every cell.
    n_genes
        Genes to keep per group; by default all genes that the model and `adata` share. A larger number is filled up
        with the other genes of `adata`, at weight zero: scanpy's `values_to_plot` asks for ``n_genes=adata.n_vars``.
    copy
        Work on a copy and return it.

    Returns
    -------
    `None`, or the copy if `copy=True`. Sets these fields, the arrays with one field per group and best gene first:

    `adata.uns['rank_mask_genes' | key_added]['names']` : :class:`numpy.recarray` (dtype `object`)
        Genes, as named in `adata.var_names`; proteins with their modality, "protein:CD4".
    `adata.uns['rank_mask_genes' | key_added]['scores']` : :class:`numpy.recarray` (dtype `float32`)
        Mean mask weight in the group, or group minus rest with `rank_by="difference"`.
    `adata.uns['rank_mask_genes' | key_added]['logfoldchanges']` : :class:`numpy.recarray` (dtype `float32`)
        Log2 of mean weight in the group over mean weight in the rest, 1e-6 added to both.
    `adata.uns['rank_mask_genes' | key_added]['pvals']` and `['pvals_adj']` : :class:`numpy.recarray` (dtype `float64`)
        All NaN; scanpy expects the fields. Its `pval_cutoff` would therefore drop every gene.
    `adata.uns['rank_mask_genes' | key_added]['params']` : :class:`dict`
        How the ranking was made; `groups` and `absent_weight` (float64, one value per group) give the share of the
        mask that lies on genes `adata` lacks.

    Notes
    -----
    scanpy's dot, matrix and violin plots refuse a column that has categories without cells, as an annotation has
    where a class was never called. Take them out first:
    ``adata.obs["sims"] = adata.obs["sims"].cat.remove_unused_categories()``.

    Examples
    --------
    >>> sims.tl.rank_mask_genes(adata)
    >>> sc.get.rank_genes_groups_df(adata, group="B cell", key="rank_mask_genes")
    >>> sc.pl.rank_genes_groups_dotplot(adata, key="rank_mask_genes", n_genes=3)
    """
    check_choice("rank_by", rank_by, ("weight", "difference"))
    if n_genes is not None:
        check_positive("n_genes", n_genes)
    groupby = Keys(key).label if groupby is None else groupby
    with opened(adata, f"uns/{key_added}", copy=copy) as target:
        target.uns[key_added] = _ranks(target, groupby, key, modality, rank_by, n_genes)
    return target if copy else None


def _ranks(
    adata: AnnData | MuData, groupby: str, key: str, modality: str | None, rank_by: str, n_genes: int | None
) -> dict[str, Any]:
    """What is written."""
    grouped = read_grouped_masks(adata, key, groupby)
    groups, stored = grouped.groups, _of_modality(grouped.stored, modality)
    if len(groups) < 2:
        raise ValueError(
            f"`adata.obs[{groupby!r}]` holds {len(groups)} group(s) with cells ({listing(groups)}); "
            "ranking sets each group against the rest, so it needs two or more. "
            "For the genes of a single set of cells use `sims.get.mask_df`."
        )
    inside, outside = _inside_and_outside(group_means(stored.weights, grouped.codes, len(groups)), grouped.sizes)
    shared = stored.var_names != ""
    names = np.where(stored.modality == RNA, stored.var_names, stored.features)[shared]
    others = gene_object(adata, key).var_names
    ranking = _ranking(inside[:, shared], outside[:, shared], names, others, rank_by, n_genes)
    return {
        "params": {
            "groupby": groupby,
            "reference": "rest",
            "method": "mask_weight",
            "use_raw": False,
            "layer": None,
            "rank_by": rank_by,
            "key": key,
            **({} if modality is None else {"modality": modality}),
            "groups": np.array(groups, dtype=object),
            "absent_weight": inside[:, ~shared].sum(axis=1),
        },
        **{field: _records(groups, columns) for field, columns in ranking.items()},
    }


def _of_modality(stored: StoredMasks, modality: str | None) -> StoredMasks:
    """The masks, or those of one modality."""
    if modality is None:
        return stored
    check_choice("modality", modality, stored.modalities)
    return stored.only(modality)


def _inside_and_outside(
    means: NDArray[np.float64], sizes: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean weights in each group and in all the other labelled cells."""
    sums = means * sizes[:, None]
    rest = np.maximum(sums.sum(axis=0) - sums, 0)  # the difference of two sums may come out a hair below zero
    return means, rest / (sizes.sum() - sizes)[:, None]


def _ranking(
    inside: NDArray[np.float64],
    outside: NDArray[np.float64],
    names: NDArray[np.object_],
    var_names: pd.Index,
    rank_by: str,
    n_genes: int | None,
) -> dict[str, list[NDArray[Any]]]:
    """The record arrays' columns, one per group."""
    if n_genes is not None and n_genes > names.size:
        others = var_names[~var_names.isin(names)].to_numpy(dtype=object)[: n_genes - names.size]
        names = np.concatenate([names, others])
        inside, outside = (np.pad(means, ((0, 0), (0, others.size))) for means in (inside, outside))
    columns: dict[str, list[NDArray[Any]]] = {
        field: [] for field in ("names", "scores", "logfoldchanges", "pvals", "pvals_adj")
    }
    for group, rest in zip(inside, outside, strict=True):
        score = group if rank_by == "weight" else group - rest
        best = np.argsort(-score, kind="stable")[:n_genes]
        fold = np.log2(group[best] + _EPS) - np.log2(rest[best] + _EPS)
        columns["names"].append(names[best])
        columns["scores"].append(score[best].astype(np.float32))
        columns["logfoldchanges"].append(fold.astype(np.float32))
        columns["pvals"].append(np.full(best.size, np.nan))
        columns["pvals_adj"].append(np.full(best.size, np.nan))
    return columns


def _records(groups: Sequence[str], columns: Sequence[NDArray[Any]]) -> np.recarray:
    """One field per group; unlike a data frame's columns, such fields may have a "/" in their name when stored."""
    dtype = np.dtype((np.record, [(group, column.dtype) for group, column in zip(groups, columns, strict=True)]))
    return np.rec.fromarrays(list(columns), dtype=dtype)
