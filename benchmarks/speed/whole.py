"""Whole runs in a process of their own: training from a stored file to convergence, annotation of many cells."""

from __future__ import annotations

import time
from typing import Any

import anndata as ad
import numpy as np

import sims_tools as sims

from .counts import planted
from .timing import set_threads
from .watermark import Watermark

WARM = (400, 300)
QUARTER = 4


def write_cells(path: str, n_cells: int, n_genes: int) -> None:
    """A reference on disk."""
    planted(n_cells, n_genes).to_adata().write_h5ad(path)


def train(path: str, threads: int, *, save: str | None = None, **options: Any) -> dict[str, Any]:
    """Seconds from opening a reference to the trained model, default preset, by part; and its scores.

    `options` go to `sims_train`; all genes are taken unless they say otherwise.

    The score is macro F1 of the validation cells after each epoch. Its noise is two standard errors of a share at so
    many cells; its plateau the median over the last quarter of the epochs. Training has converged at the first epoch
    from which on no score lies below the plateau by more than the noise.
    """
    set_threads(threads)
    _compile()
    start = time.perf_counter()
    adata = ad.read_h5ad(path)
    loaded = time.perf_counter()
    with Watermark() as water:
        chosen = {"n_top_genes": None, **options}
        model = sims.tl.sims_train(adata, "cell_type", progress_bar=False, accelerator="cpu", **chosen)
    trained = time.perf_counter()
    if save is not None:
        model.save(save)
    scores = model.history_by_epoch["macro_f1_validation"]
    n_validation = int((adata.obs["sims_split"] == "validation").sum())
    return {
        "n_cells": adata.n_obs,
        "n_genes": adata.n_vars,
        "genes_used": len(model.genes),
        "options": {name: value for name, value in options.items() if name != "n_top_genes"},
        "batch_size": model.training_["batch_size"],
        "load": loaded - start,
        "train": trained - loaded,
        "all": trained - start,
        "extra": water.extra,
        "n_validation": n_validation,
        "scores": [float(score) for score in scores],
        **convergence(np.asarray(scores, dtype=float), n_validation),
    }


def convergence(scores: np.ndarray, n_validation: int) -> dict[str, float]:
    """Plateau of a score, its noise, and how many epochs it took to stay there."""
    plateau = float(np.median(scores[-max(len(scores) // QUARTER, 1) :]))
    noise = 2 * float(np.sqrt(max(plateau * (1 - plateau), 1 / n_validation) / n_validation))
    below = np.flatnonzero(scores < plateau - noise)
    return {"plateau": plateau, "noise": noise, "epochs": len(scores), "converged_at": int(below.max(initial=-1)) + 2}


def annotate(n_cells: int, n_genes: int, threads: int, *, model: str | None = None) -> dict[str, Any]:
    """Seconds and extra peak bytes of annotating cells in memory with masks, what is written included.

    `model` is the folder of a saved one; without it one of the thesis' network, 64 wide, is trained for one epoch on
    some of the cells.
    """
    set_threads(threads)
    adata = planted(n_cells, n_genes).to_adata()
    trained = sims.models.load(model) if model else _brief(adata[:2000].copy())
    sims.tl.annotate(adata[:1000].copy(), trained, progress_bar=False)
    with Watermark() as water:
        start = time.perf_counter()
        sims.tl.annotate(adata, trained, progress_bar=False)
        seconds = time.perf_counter() - start
    masks = adata.obsm["sims_masks"]
    return {
        "n_cells": n_cells,
        "n_genes": n_genes,
        "recipe": "default, trained" if model else "thesis, 64 wide, one epoch",
        "seconds": seconds,
        "extra": water.extra,
        "written": masks.data.nbytes + masks.indices.nbytes + masks.indptr.nbytes + adata.obsm["sims_prob"].nbytes,
        "stored": adata.X.data.nbytes + adata.X.indices.nbytes + adata.X.indptr.nbytes,
        "genes_in_a_mask": masks.nnz / n_cells,
    }


def _brief(adata: ad.AnnData) -> sims.models.SIMS:
    options = {"preset": "sims", "n_d": 64, "n_a": 64, "batch_size": 256, "accelerator": "cpu"}
    return sims.tl.sims_train(adata, "cell_type", n_top_genes=None, max_epochs=1, progress_bar=False, **options)


def _compile() -> None:
    """Train on a few cells: what is compiled, or read from the cache, at the first call."""
    adata = planted(*WARM).to_adata()
    sims.tl.sims_train(adata, "cell_type", max_epochs=1, progress_bar=False, accelerator="cpu")
