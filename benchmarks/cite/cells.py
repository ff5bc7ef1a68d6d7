"""The sets, and what a query of theirs may look like."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from benchmarks.accuracy.cells import COUNTS, Cells, lay_out
from mudata import MuData
from scipy import sparse

import sims_tools as sims
from sims_tools.data._clr import clr

RNA, PROTEIN = "rna", "prot"
PLANTED = "planted"
STORED_PROTEINS = "protein_expression"
LOST = 0.3
"""Share of the proteins that another panel lacks."""

KIT = "_TotalSeqB"
"""What another kit adds to the names of proteins."""

PAIRED, RNA_ONLY, PROTEIN_ONLY, OTHER_PANEL = "both", "RNA only", "protein only", "other panel"


def load(name: str, folder: Path | None) -> tuple[MuData, np.ndarray]:
    """Cells with raw counts in modalities "rna" and "prot", and their labels (n,)."""
    if name == PLANTED:
        mdata = sims.data.planted_cite(n_cells=1500, n_genes=2000, n_proteins=20)
        return mdata, mdata.obs["cell_type"].to_numpy().astype(str)
    if folder is None:
        raise ValueError(f"{name!r} is a file; name its folder with --data.")
    stored = ad.read_h5ad(folder / f"{name}.h5ad")
    table = stored.obsm[STORED_PROTEINS]
    cells = pd.DataFrame(index=stored.obs_names)
    rna = ad.AnnData(sparse.csr_matrix(stored.X, dtype=np.float32), cells, stored.var[[]])
    proteins = ad.AnnData(
        sparse.csr_matrix(table.to_numpy(np.float32)), cells.copy(), pd.DataFrame(index=table.columns)
    )
    return MuData({RNA: rna, PROTEIN: proteins}), stored.obs["cell_type"].to_numpy().astype(str)


def take(mdata: MuData, cells: np.ndarray) -> MuData:
    """Some of the cells, in a MuData of their own."""
    return MuData({name: each[cells].copy() for name, each in mdata.mod.items()})


def with_other_panel(mdata: MuData, seed: int) -> MuData:
    """The same cells without 30 % of the proteins; the others are called as a kit calls them."""
    proteins = mdata.mod[PROTEIN]
    n_lost = round(LOST * proteins.n_vars)
    kept = np.sort(np.random.default_rng(seed).permutation(proteins.n_vars)[n_lost:])
    panel = proteins[:, kept].copy()
    panel.var_names = [f"{name}{KIT}" for name in panel.var_names]
    return MuData({RNA: mdata.mod[RNA].copy(), PROTEIN: panel})


QUERIES: dict[str, Callable[[MuData, int], MuData]] = {
    PAIRED: lambda mdata, seed: mdata,
    OTHER_PANEL: with_other_panel,
    RNA_ONLY: lambda mdata, seed: MuData({RNA: mdata.mod[RNA].copy()}),
    PROTEIN_ONLY: lambda mdata, seed: MuData({PROTEIN: mdata.mod[PROTEIN].copy()}),
}
"""What is measured of the cells that are predicted, for a seed."""


def counts(mdata: MuData, name: str, features: np.ndarray) -> sparse.csr_matrix:
    """(n, n_features) counts of a modality, a feature by its name or by that of another panel; zero where missing."""
    if name not in mdata.mod:
        return sparse.csr_matrix((mdata.n_obs, len(features)), dtype=np.float32)
    there = mdata.mod[name]
    return lay_out(there.X, there.var_names.str.removesuffix(KIT).to_numpy(), features)


def log_genes(mdata: MuData, genes: np.ndarray) -> sparse.csr_matrix:
    """(n, n_genes) log1p of counts per 10,000 of these genes."""
    return Cells(counts(mdata, RNA, genes), genes, COUNTS).log1p()


def joined(mdata: MuData, genes: np.ndarray, proteins: np.ndarray) -> sparse.csr_matrix:
    """(n, n_genes + n_proteins) log1p CP10K of genes and CLR of proteins, as SIMS normalises them."""
    sides = [log_genes(mdata, genes)] if len(genes) else []
    sides += [clr(counts(mdata, PROTEIN, proteins))] if len(proteins) else []
    return sparse.hstack(sides, format="csr")
