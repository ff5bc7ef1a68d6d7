"""Mean and variance of each gene on the model's scale, in one pass over the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from scipy import sparse

from ._kind import TARGET_SUM


def log_cp10k(block: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    """log1p CP10K of linear values: (n, p) block, (n,) totals; rows without counts stay zero."""
    scaled = linear_cp10k(block, totals)
    np.log1p(scaled.data, out=scaled.data)
    return scaled


def linear_cp10k(block: sparse.csr_matrix, totals: np.ndarray) -> sparse.csr_matrix:
    """CP10K of linear values, likewise."""
    factors = TARGET_SUM / np.where(totals > 0, totals, 1.0)
    data = block.data * np.repeat(factors, np.diff(block.indptr)).astype(np.float32)
    return sparse.csr_matrix((data, block.indices, block.indptr), shape=block.shape)


def gene_moments(
    blocks: Iterable[tuple[sparse.csr_matrix, np.ndarray]],
    n_genes: int,
    scale: Callable[[sparse.csr_matrix, np.ndarray], sparse.csr_matrix] = log_cp10k,
    n_cells: int | np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and (population) variance of log1p CP10K over some cells.

    Parameters
    ----------
    blocks
        Linear values (n, n_genes) and totals (n,) of the cells, block by block.
    n_genes
        Number of genes.
    scale
        Takes a block to the values whose moments are wanted.
    n_cells
        (n_genes,) cells that each gene was measured in; None counts all.

    Returns
    -------
    Two float64 arrays (n_genes,).
    """
    n, total, squares = 0, np.zeros(n_genes), np.zeros(n_genes)
    for linear, totals in blocks:
        values = scale(linear, totals)
        n += values.shape[0]
        total += np.bincount(values.indices, weights=values.data, minlength=n_genes)
        squares += np.bincount(values.indices, weights=values.data.astype(np.float64) ** 2, minlength=n_genes)
    among = np.maximum(n if n_cells is None else n_cells, 1)
    mean = total / among
    return mean, np.maximum(squares / among - mean**2, 0.0)
