"""The main job on real cells, start to end, beside a logistic regression."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData, concat
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support
from sklearn.model_selection import train_test_split

from sims_tools import pl, tl
from sims_tools.cli._commands import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LABELS = "cell_type"


def run_demo(*, output: Path, seed: int, quiet: bool) -> None:
    """Train, annotate cells whose genes differ, compare, and write object, model and figure."""
    reference, query = blood_cells(seed)
    truth = query.obs[LABELS].astype(str).to_numpy()
    _say(
        quiet, f"Reference: {reference.n_obs} cells x {reference.n_vars} genes, {reference.obs[LABELS].nunique()} types"
    )
    _say(quiet, f"Query: {query.n_obs} cells; genes shuffled, a tenth of them missing, 50 foreign ones added")

    start = time.perf_counter()
    model = tl.sims_train(reference, LABELS, random_state=seed, progress_bar=not quiet)
    trained = time.perf_counter()
    model.save(output / "model", overwrite=True)
    tl.annotate(query, output / "model", progress_bar=not quiet)
    _say(quiet, f"Trained in {trained - start:.0f} s, annotated in {time.perf_counter() - trained:.1f} s\n")

    called = {"SIMS": query.obs["sims"].astype(str).to_numpy(), "logistic regression": _regression(reference, query)}
    _say(quiet, score_table(truth, called).to_string(float_format="{:.3f}".format), "")
    _say(quiet, class_table(truth, called).to_string(float_format="{:.2f}".format), "")

    write_whole(query, output / "annotated.h5ad")
    figure = cast("Figure", pl.feature_masks(query, kind="umap", return_fig=True))
    figure.savefig(output / "feature_masks.png", dpi=120, bbox_inches="tight")
    for name in ("annotated.h5ad", "model", "feature_masks.png"):
        _say(quiet, f"wrote {output / name}")


def blood_cells(seed: int) -> tuple[AnnData, AnnData]:
    """70 % of the cells of `pbmc68k_reduced` as they are, and the rest with other genes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shipped = sc.datasets.pbmc68k_reduced()
    cells = AnnData(shipped.raw.X, obs=shipped.obs[[]], var=shipped.raw.var[[]])
    cells.obs[LABELS] = shipped.obs["bulk_labels"]
    cells.obsm["X_umap"] = shipped.obsm["X_umap"]
    train, test = train_test_split(np.arange(cells.n_obs), test_size=0.3, stratify=cells.obs[LABELS], random_state=seed)
    return cells[np.sort(train)].copy(), _with_other_genes(cells[np.sort(test)].copy(), seed)


def _with_other_genes(cells: AnnData, seed: int) -> AnnData:
    rng = np.random.default_rng(seed)
    kept = rng.permutation(cells.n_vars)[: round(0.9 * cells.n_vars)]
    noise = sparse.random(cells.n_obs, 50, density=0.1, format="csr", dtype=np.float32, rng=rng)
    foreign = AnnData(noise, obs=cells.obs[[]], var=pd.DataFrame(index=[f"FOREIGN{g}" for g in range(50)]))
    query = concat([cells[:, kept], foreign], axis="var", merge="first")
    query = query[:, rng.permutation(query.n_vars)].copy()
    query.obs[LABELS], query.obsm["X_umap"] = cells.obs[LABELS], cells.obsm["X_umap"]
    return query


def _regression(reference: AnnData, query: AnnData) -> np.ndarray:
    """Labels by a logistic regression on the same cells and values, genes matched by name, missing ones zero."""
    columns = query.var_names.get_indexer(reference.var_names)
    values = np.zeros((query.n_obs, reference.n_vars), dtype=np.float32)
    values[:, columns >= 0] = query.X.toarray()[:, columns[columns >= 0]]
    fitted = LogisticRegression(max_iter=1000).fit(reference.X, reference.obs[LABELS].astype(str))
    return fitted.predict(values)


def score_table(truth: np.ndarray, called: dict[str, np.ndarray]) -> pd.DataFrame:
    """Accuracy and macro F1 of each method."""
    rows = {
        name: {"accuracy": accuracy_score(truth, labels), "macro F1": f1_score(truth, labels, average="macro")}
        for name, labels in called.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def class_table(truth: np.ndarray, called: dict[str, np.ndarray]) -> pd.DataFrame:
    """Cells, precision, recall and F1 of each class for each method."""
    classes = np.unique(truth)
    columns: dict[tuple[str, str], np.ndarray] = {("", "cells"): np.array([(truth == name).sum() for name in classes])}
    for method, labels in called.items():
        scores = precision_recall_fscore_support(truth, labels, labels=classes, zero_division=0)
        for name, values in zip(("precision", "recall", "F1"), scores, strict=False):
            columns[method, name] = values
    return pd.DataFrame(columns, index=classes)


def _say(quiet: bool, *lines: str) -> None:
    for line in lines:
        if not quiet:
            click.echo(line)
