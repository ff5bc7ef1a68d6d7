"""Planted CITE-seq cells: for each class it is known which modality tells it apart."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._validate import check_choice, listing

CARRIERS = ("rna", "protein", "both")


def planted_cite(
    n_cells: int = 600,
    n_genes: int = 200,
    n_proteins: int = 10,
    carriers: Sequence[str] = ("rna", "rna", "protein", "protein", "both", "both"),
    *,
    n_markers: int = 5,
    fold: float = 8.0,
    protein_fold: float = 10.0,
    mean_total: float = 2000.0,
    mean_protein: float = 20.0,
    random_state: int = 0,
) -> MuData:
    """Draw RNA and protein counts in which the modality that carries the signal of each class is known.

    Class `c` has `n_markers` genes whose rate is `fold` times as high in it if `carriers[c]` is "rna" or "both", and
    one protein, `protein_fold` times as abundant, if it is "protein" or "both"; in the other modality it looks like a
    cell without any markers. Proteins have a background in every cell, as antibodies do, and a staining strength of
    the cell's own that is independent of its RNA library size. Counts are Poisson.

    Parameters
    ----------
    n_cells, n_genes, n_proteins
        Size of the data. Proteins beyond those that mark a class are background.
    carriers
        For each class, which modality tells it apart: "rna", "protein" or "both".
    n_markers
        Marker genes of a class that RNA tells apart; no gene marks two classes.
    fold, protein_fold
        How much more a marker gene or protein there is in its class.
    mean_total
        Median RNA library size, counts per cell.
    mean_protein
        Median background of a protein, counts per cell.
    random_state
        Seed.

    Returns
    -------
    MuData of `"rna"` (n_cells, n_genes) and `"prot"` (n_cells, n_proteins) with raw counts (CSR float32),
    `.obs["cell_type"]` (named after carrier and number, "protein_1") and `.obs["donor"]`; in both modalities
    `.var["marker_of"]`, the class that a feature marks, "" for none.

    Raises
    ------
    ValueError
        There are fewer genes or proteins than markers, fewer cells than classes, or a carrier is unknown.
    """
    for carrier in carriers:
        check_choice("carriers", carrier, CARRIERS)
    classes = np.array([f"{carrier}_{number}" for number, carrier in enumerate(carriers)])
    in_rna, in_protein = (np.flatnonzero(np.isin(carriers, [own, "both"])) for own in ("rna", "protein"))
    wanted = {"n_cells": len(classes), "n_genes": len(in_rna) * n_markers, "n_proteins": len(in_protein)}
    given = {"n_cells": n_cells, "n_genes": n_genes, "n_proteins": n_proteins}
    if len(classes) < 1 or any(given[name] < max(wanted[name], 1) for name in wanted):
        raise ValueError(f"The classes {listing(classes)} need at least {wanted}; found {given}.")
    rng = np.random.default_rng(random_state)
    codes = rng.permutation(np.append(np.arange(len(classes)), rng.integers(0, len(classes), n_cells - len(classes))))
    genes, marks = _rates(rng, len(classes), rng.lognormal(0.0, 1.0, n_genes), in_rna, n_markers, fold)
    genes /= genes.sum(1, keepdims=True)
    base = mean_protein * rng.lognormal(0.0, 0.5, n_proteins)
    proteins, stained = _rates(rng, len(classes), base, in_protein, 1, protein_fold)
    obs = pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)])
    sizes = mean_total * rng.lognormal(0.0, 0.3, n_cells), rng.lognormal(0.0, 0.4, n_cells)
    modalities = {
        "rna": _modality(rng, genes, codes, sizes[0], obs, "gene", np.append(classes, "")[marks]),
        "prot": _modality(rng, proteins, codes, sizes[1], obs, "protein", np.append(classes, "")[stained]),
    }
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)  # what mudata 0.4 does with columns: there are none
        mdata = MuData(modalities)
    mdata.obs["cell_type"] = pd.Categorical(classes[codes], categories=classes)
    mdata.obs["donor"] = pd.Categorical([f"donor_{d}" for d in rng.integers(0, 4, n_cells)])
    return mdata


def _rates(
    rng: np.random.Generator, n_classes: int, base: np.ndarray, marked: np.ndarray, n_markers: int, fold: float
) -> tuple[np.ndarray, np.ndarray]:
    """(n_classes, p) rates of the features in each class, and (p,) the class that each marks, -1 for none."""
    rates, marks = np.tile(base, (n_classes, 1)), np.full(len(base), -1)
    chosen = rng.permutation(len(base))[: len(marked) * n_markers].reshape(len(marked), n_markers)
    for code, markers in zip(marked, chosen, strict=True):
        rates[code, markers] = fold * np.maximum(base[markers], np.median(base) / 2)
        marks[markers] = code
    return rates, marks


def _modality(
    rng: np.random.Generator,
    rates: np.ndarray,
    codes: np.ndarray,
    sizes: np.ndarray,
    obs: pd.DataFrame,
    name: str,
    marker_of: np.ndarray,
) -> AnnData:
    """Counts of cells of classes (n,) that have rates (n_classes, p), and of sizes (n,)."""
    counts = [  # some cells at a time: the counts of all would not fit when there are many
        sparse.csr_matrix(rng.poisson(rates[codes[some]] * sizes[some, None]).astype(np.float32))
        for some in np.array_split(np.arange(len(sizes)), -(-len(sizes) // 1000))
    ]
    var = pd.DataFrame({"marker_of": marker_of.astype(str)}, index=[f"{name}_{i}" for i in range(rates.shape[1])])
    return AnnData(sparse.vstack(counts, format="csr"), obs=obs.copy(), var=var)
