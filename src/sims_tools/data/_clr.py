"""Centred log-ratio of protein counts within the cell, in the form that keeps zeros."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from scipy import sparse

from ._matrix import row_sums, with_data

Counts = TypeVar("Counts", np.ndarray, sparse.csr_matrix)


def clr(counts: Counts) -> Counts:
    """``log1p(x / g)`` with ``g = exp(mean over proteins of log1p(x))``, for each cell.

    The centred log-ratio (Aitchison 1982) of CITE-seq counts (Stoeckius et al., Nature Methods 2017) in the form that
    Seurat's `NormalizeData(normalization.method = "CLR", margin = 2)` computes: zeros stay zero and count in the mean.

    Parameters
    ----------
    counts
        (n_cells, n_proteins) counts, array or CSR.

    Returns
    -------
    (n_cells, n_proteins) float32, of the same kind.
    """
    sizes = clr_sizes(counts)
    if isinstance(counts, np.ndarray):
        return np.log1p(counts / sizes[:, None]).astype(np.float32)
    stored = np.log1p(counts.data / np.repeat(sizes, np.diff(counts.indptr)))
    return with_data(counts, stored.astype(np.float32))


def clr_sizes(counts: np.ndarray | sparse.csr_matrix) -> np.ndarray:
    """(n_cells,) float64 ``exp(mean over proteins of log1p(x))``, at least 1; of counts (n_cells, n_proteins)."""
    n_proteins = max(counts.shape[1], 1)
    if isinstance(counts, np.ndarray):
        return np.exp(np.log1p(counts.astype(np.float64)).sum(1) / n_proteins)
    return np.exp(row_sums(with_data(counts, np.log1p(counts.data.astype(np.float64)))) / n_proteins)
