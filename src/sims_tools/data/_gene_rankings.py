"""Genes ranked for each class: by mask, by differential expression, by logistic regression, at random."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

Ranking = NDArray[np.intp]
"""(n_classes, depth) columns of genes, the best first; -1 where a class has fewer."""

_NEIGHBOURS = 10  # genes of the nearest expression among which a matched one is drawn


def rank_by_weight(weights: NDArray[np.float64], genes: NDArray[np.intp], depth: int) -> Ranking:
    """The heaviest of some genes.

    Parameters
    ----------
    weights
        (n_classes, n_genes).
    genes
        (n,) columns to choose from.
    depth
        Genes per class. Those without weight are not ranked.
    """
    rows = []
    for weight in weights[:, genes]:
        best = np.argsort(-weight, kind="stable")[:depth]
        rows.append(genes[best[weight[best] > 0]])
    return _padded(rows, depth)


def differential_expression(values: sparse.csr_matrix, codes: NDArray[np.intp]) -> list[pd.DataFrame]:
    """Wilcoxon rank-sum test of each class against the rest, on an object that nobody else sees.

    Parameters
    ----------
    values
        (n_obs, n_genes) log1p CP10K.
    codes
        (n_obs,) class of each cell, each with two cells or more.

    Returns
    -------
    For each class a table of all genes, best first: `gene` (column), `scores`, `pvals_adj`, `logfoldchanges`.
    """
    shadow = AnnData(
        values.copy(),
        obs=pd.DataFrame({"class": pd.Categorical(codes.astype(str))}, index=_numbers(values.shape[0])),
        var=pd.DataFrame(index=_numbers(values.shape[1])),
        uns={"log1p": {"base": None}},
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # folds of genes that a class does not express
        warnings.filterwarnings("ignore", category=pd.errors.PerformanceWarning)
        sc.tl.rank_genes_groups(shadow, "class", method="wilcoxon", tie_correct=True, use_raw=False)
    found = shadow.uns["rank_genes_groups"]
    fields = ("scores", "pvals_adj", "logfoldchanges")
    return [
        pd.DataFrame(
            {
                "gene": found["names"][str(code)].astype(np.intp),
                **{field: np.asarray(found[field][str(code)], dtype=float) for field in fields},
            }
        )
        for code in range(codes.max() + 1)
    ]


def rank_differential(tables: list[pd.DataFrame], genes: NDArray[np.intp], depth: int) -> Ranking:
    """The genes of the highest score, for each class of :func:`differential_expression`."""
    return _padded([table["gene"][table["gene"].isin(genes)].to_numpy()[:depth] for table in tables], depth)


def rank_logistic(values: sparse.csr_matrix, codes: NDArray[np.intp], genes: NDArray[np.intp], depth: int) -> Ranking:
    """The largest coefficients of a logistic regression with C = 1 on log1p CP10K, neither centred nor scaled.

    Parameters
    ----------
    values
        (n_obs, n_genes) log1p CP10K.
    codes
        (n_obs,) class of each cell.
    genes
        (n,) columns to read.
    depth
        Genes per class.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)
        weights = LogisticRegression(C=1.0, max_iter=500).fit(values[:, genes], codes).coef_
    weights = np.vstack([-weights, weights]) if len(weights) == 1 else weights
    return _padded([genes[np.argsort(-weight, kind="stable")[:depth]] for weight in weights], depth)


def rank_random(n_classes: int, genes: NDArray[np.intp], depth: int, rng: np.random.Generator) -> Ranking:
    """Genes in random order, another for each class."""
    return _padded([rng.permutation(genes)[:depth] for _ in range(n_classes)], depth)


def rank_matched(
    ranking: Ranking, means: NDArray[np.float64], genes: NDArray[np.intp], rng: np.random.Generator
) -> Ranking:
    """For each ranked gene another one that the class expresses about as much, drawn at random and not ranked itself.

    Parameters
    ----------
    ranking
        (n_classes, depth) the genes to match.
    means
        (n_classes, n_genes) mean expression of each gene in each class.
    genes
        (n,) columns to choose from.
    rng
        Where chance comes from.
    """
    rows = []
    for wanted, level in zip(ranking, means, strict=True):
        free = np.setdiff1d(genes, wanted)
        free = free[np.argsort(level[free], kind="stable")]
        row = []
        for gene in wanted[wanted >= 0][: len(free)]:
            middle = int(np.searchsorted(level[free], level[gene]))
            low = min(max(middle - _NEIGHBOURS // 2, 0), max(len(free) - _NEIGHBOURS, 0))
            drawn = int(rng.integers(low, min(low + _NEIGHBOURS, len(free))))
            row.append(free[drawn])
            free = np.delete(free, drawn)
        rows.append(np.array(row, dtype=np.intp))
    return _padded(rows, ranking.shape[1])


def _padded(rows: list[NDArray[np.intp]], depth: int) -> Ranking:
    ranking = np.full((len(rows), depth), -1, dtype=np.intp)
    for line, row in zip(ranking, rows, strict=True):
        line[: len(row)] = row
    return ranking


def _numbers(count: int) -> pd.Index:
    return pd.Index(np.arange(count).astype(str))
