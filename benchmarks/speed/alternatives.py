"""What a user could train instead on the same stored cells: logistic regression and CellTypist."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import anndata as ad
import numpy as np
import scanpy as sc
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

from .watermark import Watermark

HELD_OUT = 0.1


def logistic_regression(path: str, threads: int) -> dict[str, Any]:
    """scikit-learn's, with its default settings, on log1p CP10K."""

    def fit(adata: ad.AnnData, labels: np.ndarray) -> Callable[[ad.AnnData], np.ndarray]:
        model = LogisticRegression().fit(adata.X, labels)
        return lambda query: model.predict(query.X)

    return _measure(f"LogisticRegression, scikit-learn {version('scikit-learn')}", path, threads, fit)


def celltypist(path: str, threads: int, *, quick: bool = False) -> dict[str, Any]:
    """CellTypist's training as it comes, or as its authors advise for many cells (`quick`)."""
    if importlib.util.find_spec("celltypist") is None:
        return {"missing": "celltypist is not installed"}
    from celltypist import annotate, train

    options = {"use_SGD": True, "mini_batch": True, "balance_cell_type": True} if quick else {}

    def fit(adata: ad.AnnData, labels: np.ndarray) -> Callable[[ad.AnnData], np.ndarray]:
        model = train(adata, labels=labels, n_jobs=threads, check_expression=False, **options)
        return lambda query: annotate(query, model=model).predicted_labels["predicted_labels"].to_numpy()

    name = f"CellTypist {version('celltypist')}" + (", stochastic gradient descent in minibatches" if quick else "")
    return _measure(name, path, threads, fit)


def _measure(name: str, path: str, threads: int, fit: Any) -> dict[str, Any]:
    """Seconds from opening the reference to the trained classifier, and macro F1 on held-out cells."""
    start = time.perf_counter()
    adata = ad.read_h5ad(path)
    loaded = time.perf_counter()
    with threadpool_limits(threads), Watermark() as water:
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        labels = adata.obs["cell_type"].to_numpy().astype(str)
        train, test = train_test_split(np.arange(adata.n_obs), test_size=HELD_OUT, stratify=labels, random_state=0)
        reference, query = adata[train].copy(), adata[test].copy()
        predict = fit(reference, labels[train])
        trained = time.perf_counter()
    score = f1_score(labels[test], predict(query), average="macro")
    return {
        "name": name,
        "n_cells": adata.n_obs,
        "n_genes": adata.n_vars,
        "load": loaded - start,
        "train": trained - loaded,
        "all": trained - start,
        "extra": water.extra,
        "macro_f1": float(score),
    }
