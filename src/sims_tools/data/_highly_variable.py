"""Highly variable genes as scanpy's `highly_variable_genes(flavor="seurat")` chooses them, from moments alone."""

from __future__ import annotations

import numpy as np
import pandas as pd

N_BINS = 20


def highly_variable(mean: np.ndarray, variance: np.ndarray, n_cells: int | np.ndarray, n_top: int) -> np.ndarray:
    """Indices, in the stored order, of the genes of highest dispersion beside genes of like mean.

    The dispersion, variance over mean of CP10K, is compared within 20 bins of mean expression (Satija et al. 2015,
    Nature Biotechnology 33:495). scanpy needs the cells in memory for it; moments are summed block by block.

    Parameters
    ----------
    mean, variance
        (n_genes,) of CP10K, not of logarithms; the variance that of a population.
    n_cells
        Cells they were taken over; (n_genes,) where these differ.
    n_top
        Number of genes; fewer are taken where fewer vary. Among equals those stored first are taken.
    """
    mean = np.where(mean == 0, 1e-12, mean)
    dispersion = variance * (n_cells / np.maximum(np.asarray(n_cells) - 1, 1)) / mean
    logs = np.log(np.where(dispersion == 0, np.nan, dispersion))
    table = pd.DataFrame({"dispersion": logs, "bin": pd.cut(np.log1p(mean), bins=N_BINS)})
    bins = table.groupby("bin", observed=True)["dispersion"]
    center, spread = bins.transform("mean"), bins.transform("std")
    alone = spread.isna()  # a bin of one gene
    score = (table["dispersion"] - center.where(~alone, 0.0)) / spread.where(~alone, center)
    order = np.argsort(-score.to_numpy(), kind="stable")  # what is NaN comes last
    return np.sort(order[: min(n_top, int(score.notna().sum()))])
