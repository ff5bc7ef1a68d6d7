"""Centred log ratio of protein counts within the cell."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from scipy import sparse

from ._matrix import row_sums, with_data

Counts = TypeVar("Counts", np.ndarray, sparse.csr_matrix)


def clr(counts: Counts) -> Counts:
    """Centred log ratio over the proteins of each cell, as Seurat computes it: zeros stay zero.

    ``log1p(x / exp(mean over proteins of log1p(x)))``: `NormalizeData(normalization.method = "CLR", margin = 2)`.
    Zeros count in the mean. Proteins that are left out change it, so those of a panel belong together.

    Parameters
    ----------
    counts
        (n, n_proteins) counts, not negative; array or CSR, of any numeric type.

    Returns
    -------
    The same shape and storage, float32; the counts are not changed.
    """
    if isinstance(counts, np.ndarray):
        values = counts.astype(np.float64)
        centre = np.log1p(values).mean(axis=1, keepdims=True) if values.shape[1] else np.zeros((len(values), 1))
        return np.log1p(values * np.exp(-centre)).astype(np.float32)
    logs = with_data(counts, np.log1p(counts.data.astype(np.float64)))
    centres = row_sums(logs) / max(counts.shape[1], 1)
    factors = np.repeat(np.exp(-centres), np.diff(counts.indptr))
    return with_data(counts, np.log1p(counts.data * factors).astype(np.float32))
