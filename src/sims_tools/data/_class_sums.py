"""Sums of expression over the cells of each class, in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from ._moments import log_cp10k

Cells = tuple[sparse.csr_matrix, np.ndarray, np.ndarray]
"""Linear values (n, n_genes), totals (n,), classes (n,) of labelled cells."""


def with_classes(blocks: Iterable[tuple[sparse.csr_matrix, np.ndarray]], codes: np.ndarray) -> Iterator[Cells]:
    """Blocks of cells with their classes.

    Parameters
    ----------
    blocks
        Linear values (n, n_genes) and totals (n,) of the cells, block by block.
    codes
        (n_cells,) class of each, in the order of the blocks.
    """
    start = 0
    for linear, totals in blocks:
        yield linear, totals, codes[start : start + len(totals)]
        start += len(totals)


@dataclass(frozen=True)
class ClassSums:
    """Sums of log1p CP10K over the cells of each of C classes.

    Attributes
    ----------
    counts
        (C,) cells; (C, p) where not every gene was measured in all of them.
    sums, squares
        (C, p) sums of the values and of their squares, float64.
    """

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray

    @classmethod
    def over(cls, cells: Iterable[Cells], n_classes: int, n_genes: int, counts: np.ndarray | None = None) -> Self:
        """Sum in one pass.

        Parameters
        ----------
        cells
            The cells, block by block.
        n_classes, n_genes
            C and p.
        counts
            (C, p) cells of each class that each gene was measured in; None where it was in all.
        """
        sums, squares = np.zeros((n_classes, n_genes)), np.zeros((n_classes, n_genes))
        found = np.zeros(n_classes, np.int64)
        for linear, totals, codes in cells:
            values = log_cp10k(linear, totals).astype(np.float64)
            members = np.equal.outer(codes, np.arange(n_classes)).astype(np.float64)
            sums += (values.T @ members).T
            values.data **= 2
            squares += (values.T @ members).T
            found += np.bincount(codes, minlength=n_classes)
        return cls((found if counts is None else counts).astype(np.float64), sums, squares)

    @property
    def n_cells(self) -> np.ndarray:
        """Cells that a gene was measured in, at least 1: of all genes, or (p,)."""
        return np.maximum(self.counts.sum(axis=0), 1.0)

    def variance(self) -> np.ndarray:
        """(p,) population variance over all cells that the gene was measured in."""
        n = self.n_cells
        return np.maximum(self.squares.sum(0) / n - (self.sums.sum(0) / n) ** 2, 0.0)

    def higher(self) -> np.ndarray:
        """(C, p): by how many standard errors a gene's mean is higher in a class than in all others together.

        The error is that of a difference of means at the variance over all cells, so that classes of few cells, whose
        own variance says little, are not overrated. 0 where a gene is constant, or no cell is in, or out of, a class.
        """
        counts = self.counts if self.counts.ndim == 2 else self.counts[:, None]
        rest = counts.sum(axis=0) - counts
        both = (counts > 0) & (rest > 0)
        inside, outside = np.where(both, counts, 1.0), np.where(both, rest, 1.0)
        difference = self.sums / inside - (self.sums.sum(0) - self.sums) / outside
        error = np.sqrt(self.variance() * (1 / inside + 1 / outside))
        return np.where((error > 0) & both, difference / np.where(error > 0, error, 1.0), 0.0)
