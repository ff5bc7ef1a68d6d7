"""Planted cells: counts in which it is known which genes mark which class."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse


def planted_cells(
    n_cells: int = 600,
    n_genes: int = 200,
    n_classes: int = 4,
    *,
    n_markers: int = 5,
    fold: float = 8.0,
    mean_total: float = 2000.0,
    weights: np.ndarray | None = None,
    random_state: int = 0,
) -> AnnData:
    """Draw count data with marker genes planted for each class.

    Gene `g` has a log-normal base rate; in class `c` the rates of its own `n_markers` genes are multiplied by
    `fold`. A cell's counts are Poisson with the rates scaled to its log-normal library size.

    Parameters
    ----------
    n_cells, n_genes, n_classes
        Size of the data.
    n_markers
        Marker genes per class; no gene marks two classes.
    fold
        How much more a marker is expressed in its class.
    mean_total
        Median library size, counts per cell.
    weights
        (n_classes,) relative abundance of the classes; None makes them equal. Every class has a cell.
    random_state
        Seed.

    Returns
    -------
    AnnData with raw counts (CSR float32), `.obs["cell_type"]`, `.obs["donor"]` and `.var["marker_of"]` (the class a
    gene marks, "" for none).

    Raises
    ------
    ValueError
        There are fewer genes than markers, fewer cells than classes, no classes, or `weights` are not one share for
        each class.
    """
    if min(n_classes, n_genes) < 1 or n_markers < 0:
        raise ValueError(f"Found `{n_classes=}`, `{n_genes=}`, `{n_markers=}`; expected at least 1, 1 and 0.")
    if n_classes * n_markers > n_genes or n_classes > n_cells:
        raise ValueError(
            f"{n_classes} classes of {n_markers} markers need {n_classes * n_markers} genes and {n_classes} cells; "
            f"found `n_genes={n_genes}`, `n_cells={n_cells}`."
        )
    rng = np.random.default_rng(random_state)
    classes = np.array([f"type_{c}" for c in range(n_classes)])
    share = np.ones(n_classes) if weights is None else np.asarray(weights, dtype=float)
    if share.shape != (n_classes,) or not (share >= 0).all() or not 0 < share.sum() < np.inf:
        raise ValueError(f"`weights={weights!r}` must be {n_classes} shares, one for each class, not negative.")
    drawn = rng.choice(n_classes, n_cells - n_classes, p=share / share.sum())
    codes = rng.permutation(np.concatenate([np.arange(n_classes), drawn]))
    markers = rng.permutation(n_genes)[: n_classes * n_markers].reshape(n_classes, n_markers)
    rates = np.tile(rng.lognormal(0.0, 1.0, n_genes), (n_classes, 1))
    marker_of = np.full(n_genes, "", dtype=object)
    for c in range(n_classes):
        rates[c, markers[c]] = fold * np.maximum(rates[c, markers[c]], 0.5)
        marker_of[markers[c]] = classes[c]
    rates /= rates.sum(1, keepdims=True)
    totals = mean_total * rng.lognormal(0.0, 0.3, n_cells)
    counts = [  # some cells at a time: the counts of all would not fit when there are many
        sparse.csr_matrix(rng.poisson(rates[codes[some]] * totals[some, None]).astype(np.float32))
        for some in np.array_split(np.arange(n_cells), -(-n_cells // 1000))
    ]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(classes[codes], categories=classes),
            "donor": pd.Categorical([f"donor_{d}" for d in rng.integers(0, 4, n_cells)]),
        },
        index=[f"cell_{i}" for i in range(n_cells)],
    )
    var = pd.DataFrame({"marker_of": marker_of.astype(str)}, index=[f"gene_{g}" for g in range(n_genes)])
    return AnnData(sparse.vstack(counts, format="csr"), obs=obs, var=var)
