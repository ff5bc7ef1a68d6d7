"""Annotated cells as `tl.annotate` leaves them: each class looks at its own markers and at a few common genes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

mpl.use("Agg")

MARKERS, COMMON, IDLE = 3, 4, 10  # genes per class, genes that all look at, genes nobody looks at


def annotated(
    n_classes: int = 4, *, n_obs: int = 240, names: list[str] | None = None, unknown: bool = False
) -> ad.AnnData:
    rng = np.random.default_rng(0)
    names = names or [f"class {rank}" for rank in range(n_classes)]
    shares = 1 / (1 + np.arange(n_classes))
    codes = np.sort(np.r_[np.arange(n_classes), rng.choice(n_classes, n_obs - n_classes, p=shares / shares.sum())])
    genes = [f"C{rank}-{m}" for rank in range(n_classes) for m in range(MARKERS)]
    genes += [f"COMMON{rank}" for rank in range(COMMON)] + [f"IDLE{rank}" for rank in range(IDLE)]
    weights = np.zeros((n_obs, len(genes)), dtype=np.float32)
    for marker in range(MARKERS):
        weights[np.arange(n_obs), codes * MARKERS + marker] = rng.random(n_obs) * (MARKERS - marker)
    common = n_classes * MARKERS + rng.integers(0, COMMON, n_obs)
    weights[np.arange(n_obs), common] = 0.5
    weights /= weights.sum(axis=1, keepdims=True)
    prob = rng.random((n_obs, n_classes)).astype(np.float32) * 0.3
    prob[np.arange(n_obs), codes] = 1
    prob /= prob.sum(axis=1, keepdims=True)
    categories = [*names, "Unknown"] if unknown else names
    labels = np.asarray(names, dtype=object)[codes]
    if unknown:
        labels[::17] = "Unknown"
    centres = rng.normal(size=(n_classes, 2)) * 8
    true = np.asarray(names, dtype=object)[np.where(rng.random(n_obs) < 0.15, rng.integers(0, n_classes, n_obs), codes)]
    adata = ad.AnnData(
        sparse.csr_matrix(rng.poisson(0.5, (n_obs, len(genes))).astype(np.float32)),
        obs=pd.DataFrame(
            {
                "sims": pd.Categorical(labels, categories=categories),
                "sims_confidence": prob.max(axis=1),
                "truth": pd.Categorical(true, categories=names),
                "donor": pd.Categorical(rng.choice(["d1", "d2", "d3"], n_obs)),
            },
            index=[f"cell{rank}" for rank in range(n_obs)],
        ),
        var=pd.DataFrame({"symbol": [f"S-{gene}" for gene in genes]}, index=genes),
        obsm={
            "X_umap": (centres[codes] + rng.normal(size=(n_obs, 2))).astype(np.float32),
            "sims_prob": prob,
            "sims_masks": sparse.csr_matrix(weights),
        },
        uns={
            "sims": {
                "classes": np.array(names, dtype=object),
                "features": np.array(genes, dtype=object),
                "feature_var_names": np.array(genes, dtype=object),
                "params": {},
                "versions": {},
                "gene_match": {},
                "history": history(30),
            }
        },
    )
    return adata


def history(n_epochs: int, *, validation: bool = True) -> dict[str, np.ndarray]:
    epoch = np.arange(n_epochs, dtype=float)
    curves = {"epoch": epoch, "train_loss": 2 * np.exp(-epoch / 8)}
    if validation:
        curves["validation_loss"] = 2 * np.exp(-epoch / 8) + 0.2 + 0.002 * (epoch - 15) ** 2
    for rank, metric in enumerate(("accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "median_f1")):
        curves[f"{metric}_train"] = 1 - np.exp(-(epoch + 1) / (6 + rank))
        if validation:
            curves[f"{metric}_validation"] = 0.9 - 0.5 * np.exp(-(epoch + 1) / (6 + rank)) - 0.001 * np.abs(epoch - 20)
    return curves


def long_names(count: int) -> list[str]:
    words = [
        "CD4-positive",
        "alpha-beta",
        "regulatory",
        "T cell",
        "of the mucosa-associated",
        "lymphoid tissue",
        "L2/3 IT",
    ]
    full = [" ".join(words[(rank + step) % len(words)] for step in range(6)) for rank in range(count)]
    return [f"{name[:57]} {rank}" for rank, name in enumerate(full)]


@pytest.fixture
def make() -> Callable[..., ad.AnnData]:
    return annotated


@pytest.fixture
def make_history() -> Callable[..., dict[str, np.ndarray]]:
    return history


@pytest.fixture
def long() -> Callable[[int], list[str]]:
    return long_names


@pytest.fixture
def adata() -> ad.AnnData:
    return annotated()


@pytest.fixture(autouse=True)
def _close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    yield
    plt.close("all")
