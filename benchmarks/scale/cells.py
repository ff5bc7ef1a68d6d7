"""Cells of a store of any size: drawn block by block, each block by a seed of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from anndata import AnnData
from benchmarks.speed.counts import Cells, class_rates, draw_cells
from scipy import sparse

BLOCK = 8192
CLASSES, BLOCKS, ORDERS, SAMPLES = range(4)
"""What a seed is for."""


class PlantedStore:
    """Cells of 20 planted types, see :mod:`benchmarks.speed.counts`.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_values
        Stored values of a cell, about.
    n_distinct
        Blocks of 8,192 cells that are drawn. A larger store repeats them, each time with its rows in another order.
    seed
        Of everything.
    """

    def __init__(self, n_genes: int, n_values: int, n_distinct: int, seed: int) -> None:
        if n_genes > np.iinfo(np.uint16).max:
            raise ValueError(f"{n_genes} genes are more than the 65,535 that blocks are kept with.")
        self.n_genes, self._n_distinct, self._seed = n_genes, n_distinct, seed
        self._rates = class_rates(n_genes, n_values / n_genes, np.random.default_rng([seed, CLASSES]))
        self._kept: dict[int, tuple] = {}

    def blocks(self, n_cells: int) -> Iterator[Cells]:
        """So many cells, at most 8,192 at a time; distinct blocks are kept only where they come again."""
        n_blocks = -(-n_cells // BLOCK)
        for number in range(n_blocks):
            if n_blocks <= self._n_distinct:
                cells = self._draw(BLOCKS, number, BLOCK)
            else:
                cells = self._again(number % self._n_distinct)
                cells = _take(cells, np.random.default_rng([self._seed, ORDERS, number]).permutation(BLOCK))
            left = n_cells - number * BLOCK
            yield cells if left >= BLOCK else _take(cells, np.arange(left))

    def sample(self, n_cells: int) -> AnnData:
        """Labelled cells of the same types that are not in the store, to train a model on."""
        return self._draw(SAMPLES, 0, n_cells).to_adata()

    def _again(self, number: int) -> Cells:
        """A distinct block, drawn once and kept in the smallest types."""
        if number not in self._kept:
            cells = self._draw(BLOCKS, number, BLOCK)
            small = (cells.counts.data.astype(np.uint16), cells.counts.indices.astype(np.uint16), cells.counts.indptr)
            self._kept[number] = (small, cells.codes)
        (counts, columns, indptr), codes = self._kept[number]
        matrix = sparse.csr_matrix(
            (counts.astype(np.float32), columns.astype(np.int32), indptr), (len(codes), self.n_genes)
        )
        return Cells(matrix, codes, "planted")

    def _draw(self, purpose: int, number: int, n_cells: int) -> Cells:
        seed = [self._seed, purpose, number]
        return draw_cells(self._rates, n_cells, np.random.default_rng(seed), np.random.SeedSequence(seed))


def _take(cells: Cells, rows: np.ndarray) -> Cells:
    return Cells(cells.counts[rows], cells.codes[rows], cells.name)
