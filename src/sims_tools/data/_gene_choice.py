"""Ways to choose the genes to train on, from training cells alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sims_tools._validate import check_choice

from ._class_sums import Cells, ClassSums
from ._highly_variable import highly_variable
from ._moments import gene_moments, linear_cp10k

Blocks = Iterable[tuple[sparse.csr_matrix, np.ndarray]]
"""Linear values (n, n_genes) and totals (n,) of the training cells, block by block."""

BY_NUMBER = ("variance_and_class", "highly_variable")
"""Ways that rank genes, of which the first so many are taken."""

BY_FILTER = ("all", "expression_percentiles", "detected")
"""Ways that keep what passes a filter, however many."""

OUTLYING_PERCENT = 1
"""Genes beyond this percentile at either end are outlying (ACTINN)."""

_ROUNDING = 1e-5
"""Relative: genes of one cell each have the same coefficient of variation, but for this."""

FEWEST_CELLS = 3
"""Cells in which a gene must be detected (scanpy's tutorials)."""


@dataclass(frozen=True)
class GeneChoice:
    """How genes are chosen.

    Parameters
    ----------
    way
        "variance_and_class", "highly_variable", "expression_percentiles", "detected" or "all".
    n_top
        How many, of the first two; None takes all.

    Raises
    ------
    ValueError
        There is no such way, or the number is none, or the way takes none.
    """

    way: str
    n_top: int | None = None

    def __post_init__(self) -> None:
        check_choice("gene_choice", self.way, (*BY_NUMBER, *BY_FILTER))
        if self.n_top is None:
            return
        if isinstance(self.n_top, bool) or not isinstance(self.n_top, int | np.integer) or self.n_top < 1:
            raise ValueError(
                f"`n_top_genes={self.n_top!r}` must be a positive whole number, None (all genes) or 'preset'."
            )
        if self.way in BY_FILTER:
            raise ValueError(
                f"`n_top_genes={self.n_top}` does not go with `gene_choice={self.way!r}`, which ranks no genes; choose "
                f"{' or '.join(map(repr, BY_NUMBER))} with it, or leave it out."
            )

    def takes_all(self, n_genes: int) -> bool:
        """Whether all of so many genes are taken, which needs no look at cells."""
        return self.way == "all" or (self.way in BY_NUMBER and (self.n_top is None or self.n_top >= n_genes))


def choose_genes(
    choice: GeneChoice, cells: Iterable[Cells], n_classes: int, n_genes: int, counts: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray | None] | None:
    """Choose in one pass over the training cells.

    Parameters
    ----------
    choice
        How.
    cells
        The training cells, block by block; not read where all genes are taken.
    n_classes, n_genes
        How many there are.
    counts
        (n_classes, n_genes) cells of each class that each gene was measured in; None where it was in all.

    Returns
    -------
    None where all genes are taken. Otherwise indices of genes in the stored order, and the variance of log1p CP10K of
    all genes (n_genes,) where the pass gave that.

    Raises
    ------
    ValueError
        No gene passes the filter.
    """
    if choice.takes_all(n_genes):
        return None
    if choice.way == "highly_variable":
        tally = np.zeros(n_classes, np.int64)
        among = None if counts is None else counts.sum(axis=0)
        moments = gene_moments(_blocks(cells, tally), n_genes, linear_cp10k, among)
        n_cells = int(tally.sum()) if among is None else among
        return _some(highly_variable(*moments, n_cells, int(choice.n_top or 0)), "none varies"), None
    if choice.way == "detected":
        return _some(detected(_blocks(cells), n_genes), f"none was detected in {FEWEST_CELLS} training cells"), None
    sums = ClassSums.over(cells, n_classes, n_genes, counts)
    if choice.way == "variance_and_class":
        return variance_and_class(sums, int(choice.n_top or 0)), sums.variance()
    return _some(expression_percentiles(sums), "all are silent or outlying"), sums.variance()


def _blocks(cells: Iterable[Cells], tally: np.ndarray | None = None) -> Blocks:
    """The cells without their classes, which are counted in `tally` (n_classes,) while they go by."""
    for linear, totals, codes in cells:
        if tally is not None:
            tally += np.bincount(codes, minlength=len(tally))
        yield linear, totals


def _some(chosen: np.ndarray, found: str) -> np.ndarray:
    if not len(chosen):
        raise ValueError(f"No gene is left to train on: {found}. `gene_choice='all'` takes all genes.")
    return chosen


def expression_percentiles(sums: ClassSums) -> np.ndarray:
    """Indices of genes that are outlying neither in expression nor, of those, in its coefficient of variation.

    The filters of ACTINN (Ma and Pellegrini 2020), on log expression: the base of the logarithm does not matter. They
    see training cells only, and genes silent in these, whose coefficient of variation is none, are left out.

    Parameters
    ----------
    sums
        Of the training cells.
    """
    mean = sums.sums.sum(0) / sums.n_cells  # where all genes are measured in all cells, their total but for a factor
    kept = np.flatnonzero(_usual(mean) & (mean > 0))
    if not len(kept):
        return kept
    variation = np.sqrt(sums.variance()[kept]) / mean[kept]
    return kept[_usual(variation)]


def _usual(values: np.ndarray) -> np.ndarray:
    """(n,) bool: values between the outlying percentiles, these included."""
    low, high = np.percentile(values, [OUTLYING_PERCENT, 100 - OUTLYING_PERCENT])
    return (values >= low * (1 - _ROUNDING)) & (values <= high * (1 + _ROUNDING))


def detected(blocks: Blocks, n_genes: int) -> np.ndarray:
    """Indices of genes with counts in three training cells or more.

    Parameters
    ----------
    blocks
        The training cells.
    n_genes
        Number of genes.
    """
    n_cells = np.zeros(n_genes, dtype=np.int64)
    for linear, _ in blocks:
        n_cells += np.bincount(linear.indices[linear.data != 0], minlength=n_genes)
    return np.flatnonzero(n_cells >= FEWEST_CELLS)


def variance_and_class(sums: ClassSums, n_top: int) -> np.ndarray:
    """Indices, in the stored order, of half as many of the genes that vary most, and of markers in equal numbers.

    Genes that vary most are those of large classes and of high expression; a gene that only a rare class expresses is
    seldom among them. So classes take turns to name the gene that is most clearly higher in them.

    Parameters
    ----------
    sums
        Of the training cells.
    n_top
        Number of genes; all are taken where there are no more.
    """
    variance = sums.variance()
    n_genes = len(variance)
    if n_top >= n_genes:
        return np.arange(n_genes)
    by_variance = np.argsort(-variance, kind="stable")
    named = _in_turns(sums.higher(), n_top)
    wanted = np.concatenate([by_variance[: n_top - n_top // 2], named, by_variance])
    _, first = np.unique(wanted, return_index=True)
    return np.sort(wanted[np.sort(first)][:n_top])


def _in_turns(higher: np.ndarray, n_most: int) -> np.ndarray:
    """Genes as classes name them, the best of each first; a gene may be named again."""
    order = np.argsort(-higher, axis=1, kind="stable")[:, :n_most]
    named = np.take_along_axis(higher, order, axis=1) > 0
    return order.T[named.T]
