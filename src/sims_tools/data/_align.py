"""Query genes onto model genes, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sims_tools._log import warn_user
from sims_tools._validate import listing

from ._gene_ids import gene_id_kind, strip_version

ENOUGH_COVERAGE = 0.8
"""Share of the model's mask weight below which a query is annotated with a warning."""

LEAST_COVERAGE = 0.05
"""Share of the model's mask weight below which a query is refused."""


@dataclass(frozen=True)
class GeneMatch:
    """Where each gene of the model stands in the query.

    Attributes
    ----------
    columns
        (n_model_genes,) column of the gene in the query, -1 where it is missing.
    model_genes
        (n_model_genes,) names the model knows.
    query_names
        (n_model_genes,) the query's name of the gene, "" where it is missing.
    n_query
        Number of genes in the query.
    """

    columns: np.ndarray
    model_genes: np.ndarray
    query_names: np.ndarray
    n_query: int

    @cached_property
    def found(self) -> np.ndarray:
        """(n_model_genes,) bool: the query has the gene."""
        return self.columns >= 0

    def select(self, block: sparse.csr_matrix) -> sparse.csr_matrix:
        """(n, n_query) query columns to (n, n_model_genes) in the model's order, missing genes zero.

        Indices are rewritten, which is two to three times as quick as multiplying with a selection matrix. Columns of
        the result rise within each row, as those of `block` must.
        """
        if self._is_identity:
            return block
        target = self._targets[block.indices]
        kept = np.flatnonzero(target >= 0)
        if len(kept) == len(target):
            values, ends = block.data.copy(), block.indptr.copy()
        else:
            target, values = target[kept], block.data[kept]
            ends = np.searchsorted(kept, block.indptr).astype(block.indptr.dtype)
        chosen = sparse.csr_matrix((values, target, ends), shape=(block.shape[0], len(self.columns)))
        if not self._keeps_order:
            chosen = chosen.tocsc().tocsr()  # quicker than sorting each row
        chosen.has_canonical_format = True
        return chosen

    @cached_property
    def _is_identity(self) -> bool:
        n = len(self.columns)
        return n == self.n_query and bool((self.columns == np.arange(n)).all())

    @cached_property
    def _keeps_order(self) -> bool:
        return bool((np.diff(self.columns[self.found]) > 0).all())

    @cached_property
    def _targets(self) -> np.ndarray:
        """(n_query,) column of the result that each column of the query goes to, -1 for none."""
        targets = np.full(self.n_query, -1, dtype=np.int32)
        targets[self.columns[self.found]] = np.flatnonzero(self.found)
        return targets

    def coverage(self, weights: np.ndarray) -> float:
        """Share of the model's mask weight on genes that the query has."""
        total = float(weights.sum())
        return float(weights[self.found].sum()) / total if total > 0 else float(self.found.mean())

    def report(self, weights: np.ndarray) -> dict[str, Any]:
        """What `.uns[key]["gene_match"]` says: plain numbers and the missing genes, heaviest first."""
        missing = np.flatnonzero(~self.found)
        missing = missing[np.argsort(-weights[missing], kind="stable")]
        return {
            "n_model_genes": len(self.columns),
            "n_query_genes": self.n_query,
            "n_matched": int(self.found.sum()),
            "n_renamed": int((self.query_names != self.model_genes)[self.found].sum()),
            "weight_coverage": self.coverage(weights),
            "missing": self.model_genes[missing].astype(str),
        }


def match_genes(query: pd.Index, model_genes: np.ndarray) -> GeneMatch:
    """Find each model gene among the query's names.

    Exact names first; then, for genes still missing, Ensembl ids with the version suffix taken off on
    both sides, where that names one query column only.

    Parameters
    ----------
    query
        (n_query,) `adata.var_names`.
    model_genes
        (n_model_genes,) names, unique.

    Raises
    ------
    ValueError
        Names in `query` are not unique.
    """
    check_unique(query)
    columns = query.get_indexer(pd.Index(model_genes))
    missing = np.flatnonzero(columns < 0)
    if missing.size:
        _match_without_version(query, model_genes, columns, missing)
    names = np.full(len(columns), "", dtype=object)
    names[columns >= 0] = np.asarray(query, dtype=object)[columns[columns >= 0]]
    return GeneMatch(columns, np.asarray(model_genes).astype(str), names.astype(str), len(query))


def _match_without_version(query: pd.Index, model_genes: np.ndarray, columns: np.ndarray, missing: np.ndarray) -> None:
    """Fill `columns` where an id without its version names one free query column and one missing gene only."""
    theirs, ours = strip_version(query), strip_version(pd.Index(model_genes[missing]))
    free = np.flatnonzero(~theirs.duplicated(keep=False) & ~np.isin(np.arange(len(query)), columns))
    hit = theirs[free].get_indexer(ours)
    hit[ours.duplicated(keep=False)] = -1
    columns[missing[hit >= 0]] = free[hit[hit >= 0]]


def check_unique(names: pd.Index) -> None:
    """Raise ValueError where gene names repeat."""
    if not names.is_unique:
        repeated = names[names.duplicated()].unique()
        raise ValueError(
            f"`adata.var_names` are not unique: {listing(repeated)} occur more than once. "
            "Sum or drop the copies, or run `adata.var_names_make_unique()`."
        )


def check_coverage(match: GeneMatch, weights: np.ndarray, adata: AnnData) -> None:
    """Refuse a query that lacks nearly all of what the model decides by; warn where much is missing.

    Parameters
    ----------
    match
        Result of :func:`match_genes`.
    weights
        (n_model_genes,) mean mask weight of each gene in the model.
    adata
        The query, to point at a `.var` column that would match.

    Raises
    ------
    ValueError
        Less than 5 % of the model's mask weight is on genes of the query.
    """
    coverage = match.coverage(weights)
    n_found = int(match.found.sum())
    if n_found == 0 or coverage < LEAST_COVERAGE:
        raise ValueError(
            f"The query has {n_found} of the model's {len(match.columns)} genes ({coverage:.1%} of its mask weight): "
            f"too few to annotate. {_mismatch(match, adata)}"
        )
    if coverage < ENOUGH_COVERAGE:
        worst = match.report(weights)["missing"]
        warn_user(
            f"The query has {n_found} of the model's {len(match.columns)} genes, {coverage:.0%} of its mask weight. "
            f"Missing, heaviest first: {listing(worst, 5)}. Labels may be less reliable.",
        )


def _mismatch(match: GeneMatch, adata: AnnData) -> str:
    if adata.n_vars == 0:
        return f"`adata` is empty: it has {adata.n_obs} cells and 0 genes."
    theirs, ours = gene_id_kind(adata.var_names), gene_id_kind(pd.Index(match.model_genes))
    told = f"The model's names look like {KINDS_OF_NAMES[ours]} ({listing(match.model_genes, 3)}), "
    told += f"the query's like {KINDS_OF_NAMES[theirs]} ({listing(adata.var_names, 3)})."
    if column := better_column(match.model_genes, adata.var):
        return f"{told} `adata.var[{column!r}]` holds matching names: use them as `adata.var_names`."
    if ours != theirs:
        return f"{told} Give the query the same kind of names as the model."
    lower = {name.lower() for name in match.model_genes.tolist()}
    if _agree(pd.Index([str(name).lower() for name in adata.var_names]), lower):
        return f"{told} They agree but for upper and lower case: is the query from another species?"
    return f"{told} Is the query from another species, or were most of its genes taken out?"


def better_column(model_genes: np.ndarray, var: pd.DataFrame) -> str | None:
    """The column of `.var` that holds most of the model's names; None where none does."""
    known = set(strip_version(pd.Index(model_genes)))
    for position, column in enumerate(var.columns):
        values = var.iloc[:, position]
        if values.dtype.kind in "OTU" or isinstance(values.dtype, pd.CategoricalDtype | pd.StringDtype):
            if _agree(strip_version(pd.Index(values.astype(str))), known):
                return str(column)
    return None


def _agree(names: pd.Index, known: set[str]) -> bool:
    """Whether most of the names that could be known are."""
    return int(names.isin(known).sum()) > min(len(known), len(names)) / 2


KINDS_OF_NAMES = {"ensembl": "Ensembl ids", "symbol": "symbols", "mixed": "a mix of Ensembl ids and symbols"}
