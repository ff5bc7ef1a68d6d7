"""The genes of several references, matched by name."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools._log import logger
from sims_tools._validate import check_choice, listing

from ._align import KINDS_OF_NAMES, GeneMatch, better_column, check_unique, match_genes
from ._cells_in_file import FileCells
from ._gene_ids import gene_id_kind
from ._named import naming

JOINS = ("inner", "outer")

ENOUGH_SHARED = 0.5
"""Share of the genes of the smallest reference that all have, below which it is said."""


@dataclass(frozen=True)
class SharedGenes:
    """Genes that several references are read by.

    Attributes
    ----------
    names
        (n_genes,) as the first reference that has the gene calls it, in its order.
    matches
        Of each reference on these genes, in their order.
    n_common
        Genes that every reference has.
    has
        For each reference (n_vars, n_references) bool: genes of it that each of them has; None where all have the same.
    """

    names: pd.Index
    matches: tuple[GeneMatch, ...]
    n_common: int
    has: tuple[np.ndarray, ...] | None = None

    @property
    def measured(self) -> np.ndarray:
        """(n_references, n_genes) bool: the reference has the gene."""
        return np.stack([match.found for match in self.matches])

    def take(self, columns: np.ndarray) -> SharedGenes:
        """Some of the genes."""
        matches = [
            replace(
                match,
                columns=match.columns[columns],
                model_genes=match.model_genes[columns],
                query_names=match.query_names[columns],
            )
            for match in self.matches
        ]
        return SharedGenes(self.names[columns], tuple(matches), self.n_common, self.has)


def check_join(join: object) -> None:
    """Raise ValueError unless it is one of the two ways to join genes."""
    check_choice("join", join, JOINS)


def share_genes(references: Mapping[str, AnnData | FileCells], join: str) -> SharedGenes:
    """Match the genes of references by name, Ensembl ids also without their version.

    Parameters
    ----------
    references
        By name.
    join
        "inner" keeps the genes that all have, in the order of the first; "outer" all, those that the first lacks after
        its own, in the order of the next.

    Raises
    ------
    ValueError
        Names repeat within a reference, or references have no gene in common.
    """
    check_join(join)
    names = pd.Index([], dtype=object)
    for name, adata in references.items():
        with naming(name, many=len(references) > 1):
            check_unique(adata.var_names)
        known = match_genes(adata.var_names, names.to_numpy())
        own = np.ones(adata.n_vars, dtype=bool)
        own[known.columns[known.found]] = False
        names = names.append(pd.Index(adata.var_names[own].astype(str), dtype=object))
    every = SharedGenes(
        names, tuple(match_genes(adata.var_names, names.to_numpy()) for adata in references.values()), 0
    )
    common = np.flatnonzero(every.measured.all(axis=0))
    has = None if len(common) == len(names) else tuple(_has(every, at) for at in range(len(references)))
    every = replace(every, n_common=len(common), has=has)
    if len(references) > 1:
        _check_shared(references, every, join)
    return every.take(common) if join == "inner" else every


def _has(every: SharedGenes, reference: int) -> np.ndarray:
    own = every.matches[reference]
    found = np.zeros((own.n_query, len(every.matches)), dtype=bool)
    found[own.columns[own.found]] = every.measured[:, own.found].T
    return found


def _check_shared(references: Mapping[str, AnnData | FileCells], every: SharedGenes, join: str) -> None:
    """Say how many genes are shared; warn where they are few, refuse where there are none."""
    sizes = ", ".join(f"{name!r} has {adata.n_vars}" for name, adata in references.items())
    if every.n_common == 0 and join == "inner":
        raise ValueError(f"The references have no gene in common: {sizes}. {_why(references, every)}")
    if join == "outer" and (strangers := _strangers(every)):
        named = listing(list(references)[at] for at in strangers)
        raise ValueError(f"{named} and the other references have no gene in common: {sizes}. {_why(references, every)}")
    logger.info("Genes: %s; %d in common, %d in all.", sizes, every.n_common, len(every.names))
    smallest = min(adata.n_vars for adata in references.values())
    if every.n_common < ENOUGH_SHARED * smallest:
        warnings.warn(
            f"The references have {every.n_common} genes in common, {every.n_common / smallest:.0%} of those of the "
            f"smallest: {sizes}. {_why(references, every)}",
            UserWarning,
            stacklevel=2,
        )


def _strangers(every: SharedGenes) -> list[int]:
    """References none of whose genes another one has."""
    alone = every.measured.sum(axis=0) == 1
    return [at for at, has in enumerate(every.measured) if not (has & ~alone).any()]


def _why(references: Mapping[str, AnnData | FileCells], every: SharedGenes) -> str:
    """What the names look like in the two references that share the fewest."""
    shared = every.measured.astype(np.int64) @ every.measured.T.astype(np.int64)
    smaller = np.minimum.outer(np.diag(shared), np.diag(shared))
    shares = np.where(np.eye(len(shared), dtype=bool), np.inf, shared / np.maximum(smaller, 1))
    one, other = (list(references.items())[at] for at in np.unravel_index(int(shares.argmin()), shares.shape))
    kinds = [gene_id_kind(adata.var_names) for _, adata in (one, other)]
    told = " and ".join(
        f"names of {name!r} look like {KINDS_OF_NAMES[kind]} ({listing(adata.var_names, 3)})"
        for (name, adata), kind in zip((one, other), kinds, strict=True)
    )
    for (name, adata), (of, known) in ((one, other), (other, one)):
        if column := better_column(known.var_names.to_numpy(), adata.var):
            return (
                f"The {told}. `.var[{column!r}]` of {name!r} holds names that match {of!r}: use them as `.var_names`."
            )
    if kinds[0] != kinds[1]:
        return f"The {told}. Give all references the same kind of names."
    return f"The {told}. Are they of different species, or were most genes taken out?"
