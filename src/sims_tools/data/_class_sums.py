"""Sums of expression over the cells of each class, in one pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import sparse

from ._moments import log_cp10k


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
    def over(
        cls,
        blocks: Iterable[tuple[sparse.csr_matrix, np.ndarray]],
        codes: np.ndarray,
        n_classes: int,
        n_genes: int,
        counts: np.ndarray | None = None,
    ) -> Self:
        """Sum in one pass.

        Parameters
        ----------
        blocks
            Linear values (n, n_genes) and totals (n,) of the cells, block by block.
        codes
            (n_cells,) class of each, in the order of the blocks; at least 0.
        n_classes, n_genes
            C and p.
        counts
            (C, p) cells of each class that each gene was measured in; None where it was in all.
        """
        sums, squares, start = np.zeros((n_classes, n_genes)), np.zeros((n_classes, n_genes)), 0
        for linear, totals in blocks:
            values = log_cp10k(linear, totals).astype(np.float64)
            stop = start + values.shape[0]
            members = np.equal.outer(codes[start:stop], np.arange(n_classes)).astype(np.float64)
            sums += (values.T @ members).T
            values.data **= 2
            squares += (values.T @ members).T
            start = stop
        all_cells = np.bincount(codes, minlength=n_classes)
        return cls((all_cells if counts is None else counts).astype(np.float64), sums, squares)

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
