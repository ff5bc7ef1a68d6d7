"""Cells of too few or too many genes, or of many mitochondrial counts, which some recipes leave out of training."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import check_count, check_fraction, check_positive

from ._gene_families import family_members

if TYPE_CHECKING:
    from ._joined import JoinedReference
    from ._reference import Reference

AnyReference = TypeVar("AnyReference", bound="Reference | JoinedReference")


@dataclass(frozen=True)
class CellFilter:
    """Which cells take part in training; those that do not are still annotated.

    Attributes
    ----------
    min_genes
        Fewest genes with counts in a cell.
    max_genes
        Genes that a cell must stay below; None sets no limit.
    max_mitochondrial
        Share of mitochondrial counts that a cell must stay below; None sets no limit.
    """

    min_genes: int = 0
    max_genes: int | None = None
    max_mitochondrial: float | None = None

    def __post_init__(self) -> None:
        check_positive("min_genes", self.min_genes, zero=True)
        check_count("max_genes", self.max_genes)
        if self.max_mitochondrial is not None:
            check_fraction("max_mitochondrial", self.max_mitochondrial, closed=True)

    @property
    def is_open(self) -> bool:
        """Whether it lets every cell through."""
        return self == CellFilter()

    def keeps(
        self, blocks: Iterable[tuple[sparse.csr_matrix, np.ndarray]], totals: np.ndarray, names: Sequence[str]
    ) -> np.ndarray:
        """Which cells pass.

        Parameters
        ----------
        blocks
            Linear values (n, n_genes) of the cells, block by block, with what they are shares of.
        totals
            (n_cells,) totals of all of them.
        names
            (n_genes,). Mitochondrial genes are those of a symbol such as "MT-CO1" or "mt-Co1".

        Returns
        -------
        (n_cells,) bool.
        """
        members = family_members(names).get("mitochondrial", np.zeros(len(names), bool)).astype(np.float64)
        n_genes, of_mitochondria = [], []
        for linear, _ in blocks:
            n_genes.append(np.asarray((linear != 0).sum(1)).ravel())
            of_mitochondria.append(linear @ members)
        detected, share = np.concatenate(n_genes), np.concatenate(of_mitochondria) / np.where(totals > 0, totals, 1.0)
        kept = detected >= self.min_genes
        if self.max_genes is not None:
            kept &= detected < self.max_genes
        return kept if self.max_mitochondrial is None else kept & (share < self.max_mitochondrial)


def filter_cells(reference: AnyReference, cell_filter: CellFilter, labels_key: str) -> AnyReference:
    """The same cells; those that do not pass the filter lose their labels.

    Raises
    ------
    ValueError
        Fewer than two classes are left.
    """
    cells = np.arange(len(reference.totals))
    kept = cell_filter.keeps(reference.linear_blocks(cells), reference.totals, list(reference.var_names))
    dropped = np.flatnonzero(~kept & (reference.labels.codes >= 0))
    if not dropped.size:
        return reference
    labels = reference.labels.without(dropped)
    if len(labels.classes) < 2:
        raise ValueError(
            f"{cell_filter} leaves {(labels.codes >= 0).sum()} labelled cells, of {len(labels.classes)} class(es) in "
            f"`adata.obs[{labels_key!r}]`; two classes are needed. Pass other limits, `min_genes=0` say."
        )
    logger.info("%d labelled cells do not pass %s and are left out of training.", dropped.size, cell_filter)
    return replace(reference, labels=labels)
