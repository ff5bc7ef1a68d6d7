"""Cross-validation, learning curve and benchmark, as users call them."""

from __future__ import annotations

import os
import signal
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import sims_tools as sims
from sims_tools.studies._cells import read_cells
from sims_tools.tl._study_methods import ModelMethod, resolve_methods

TABLES = {"cross_validation": "cross_validate", "learning_curve": "learning_curve", "benchmark": "benchmark"}
SECONDS = ["train_seconds", "predict_seconds"]


@pytest.fixture
def quick(small) -> dict[str, Any]:
    """Parameters of SIMS that train in half a second."""
    return {name: value for name, value in small.items() if name != "progress_bar"} | {"max_epochs": 2}


def without_seconds(adata: Any, study: str) -> pd.DataFrame:
    return sims.get.study_df(adata, study).drop(columns=SECONDS)


def test_a_fold_gives_what_training_and_annotating_by_hand_give(cells, quick):
    held = cells.obs["donor"] == "donor_1"
    sims.tl.cross_validate(cells, "cell_type", train_groups=["donor_0", "donor_2", "donor_3"], groupby="donor",
                           progress_bar=False, **quick)  # fmt: skip
    row = sims.get.study_df(cells, "cross_validation").set_index("group").loc["donor_1"]
    model = sims.tl.sims_train(cells[~held].copy(), "cell_type", progress_bar=False, **quick)
    query = cells[held].copy()
    sims.tl.annotate(query, model, progress_bar=False)
    sims.tl.evaluate(query, "cell_type")
    by_hand = sims.get.evaluation_df(query).set_index("score")["value"]
    for score in ("accuracy", "balanced_accuracy", "macro_f1", "median_f1", "weighted_f1", "ece"):
        assert row[score] == by_hand[score], score
    assert (row["n_train"], row["n_test"], row["n_classes"]) == ((~held).sum(), held.sum(), 3)
    history = sims.get.study_df(cells, "cross_validation", "history")
    np.testing.assert_array_equal(history["validation_loss"], model.history_by_epoch["validation_loss"])


def test_cross_validation_tests_every_group(cells, quick, snapshot, changes):
    before = snapshot(cells)
    assert sims.tl.cross_validate(cells, "cell_type", groupby="donor", progress_bar=False, **quick) is None
    assert changes(before, snapshot(cells)) == {"uns/cross_validation"}
    scores = sims.get.study_df(cells, "cross_validation")
    assert list(scores["group"]) == list(scores["fold"]) == [f"donor_{i}" for i in range(4)]
    assert scores["n_test"].sum() == cells.n_obs
    per_class = sims.get.study_df(cells, "cross_validation", "per_class")
    assert per_class.groupby("group")["n_cells"].sum().tolist() == scores["n_test"].tolist()


def test_a_learning_curve_has_a_row_for_each_fraction_of_each_repeat(cells):
    sims.tl.learning_curve(cells, "cell_type", model="logistic_regression", fractions=[0.5, 0.1, 1], n_repeats=2,
                           progress_bar=False)  # fmt: skip
    scores = sims.get.study_df(cells, "learning_curve")
    assert list(scores["fraction"]) == [0.1, 0.5, 1] * 2
    assert list(scores["repeat"]) == [0] * 3 + [1] * 3
    assert scores.groupby("repeat")["n_test"].nunique().tolist() == [1, 1]
    assert scores.groupby("repeat")["n_train"].apply(lambda sizes: sizes.is_monotonic_increasing).all()
    assert scores["macro_f1"].iloc[2] > 0.9
    with pytest.raises(ValueError, match="history"):
        sims.get.study_df(cells, "learning_curve", "history")


def test_a_benchmark_compares_on_the_same_cells(cells, quick):
    models = {"ours": {"model": "sims", **quick}, "logistic_regression": {}, "knn": {"n_neighbors": 5},
              "random_forest": {"n_estimators": 20}, "linear_svm": {},
              "scanvi": {"max_epochs": 2, "scanvi_max_epochs": 2}}  # fmt: skip
    drawn, legacy = torch.random.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    sims.tl.benchmark(cells, "cell_type", models, n_folds=2, progress_bar=False)
    assert torch.equal(drawn, torch.random.get_rng_state())
    np.testing.assert_array_equal(legacy, np.random.get_state()[1])  # noqa: NPY002
    scores = sims.get.study_df(cells, "benchmark")
    assert list(scores["model"]) == [*models] * 2
    assert scores.groupby("fold")[["n_train", "n_test"]].nunique().to_numpy().max() == 1
    scores = scores.set_index("model")
    assert (scores.loc[["logistic_regression", "random_forest", "linear_svm", "knn"], "macro_f1"] > 0.9).all()
    assert scores["ece"].isna().groupby("model").all().to_dict() == {name: name == "linear_svm" for name in models}
    assert (scores[SECONDS] > 0).to_numpy().all()


def test_results_do_not_depend_on_how_many_run_at_a_time(cells, quick, tmp_path):
    """Nor on what was done before an interruption."""
    models = {"sims": quick, "logistic_regression": {}}
    how: dict[str, Any] = {"n_folds": 2, "progress_bar": False}
    sims.tl.benchmark(cells, "cell_type", models, checkpoint=tmp_path, n_jobs=2, **how)
    sims.tl.benchmark(cells, "cell_type", models, key_added="serial", **how)
    pd.testing.assert_frame_equal(without_seconds(cells, "benchmark"), without_seconds(cells, "serial"))
    next(tmp_path.glob("sims-*")).unlink()
    sims.tl.benchmark(cells, "cell_type", models, checkpoint=tmp_path, key_added="resumed", **how)
    pd.testing.assert_frame_equal(without_seconds(cells, "resumed"), without_seconds(cells, "serial"))
    for table in ("per_class", "history"):
        pd.testing.assert_frame_equal(*(sims.get.study_df(cells, key, table) for key in ("benchmark", "serial")))


class Interrupted(ModelMethod):
    """A model whose training is interrupted by Ctrl-C in the second run."""

    n_runs = 0

    def fit(self, *arguments: Any) -> Any:
        Interrupted.n_runs += 1
        if Interrupted.n_runs == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return super().fit(*arguments)


def test_an_interrupted_study_leaves_the_cells_alone_and_goes_on(
    cells, quick, tmp_path, snapshot, changes, monkeypatch
):
    before, handler = snapshot(cells), signal.signal(signal.SIGINT, signal.default_int_handler)
    how = {"groupby": "donor", "checkpoint": tmp_path, "progress_bar": False, **quick}
    try:
        with monkeypatch.context() as patch:
            patch.setattr("sims_tools.tl._study_methods.ModelMethod", Interrupted)
            with pytest.raises(KeyboardInterrupt):
                sims.tl.cross_validate(cells, "cell_type", **how)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert changes(before, snapshot(cells)) == set()
    (kept,) = tmp_path.iterdir()
    written = kept.stat().st_mtime_ns
    sims.tl.cross_validate(cells, "cell_type", **how)
    assert kept.stat().st_mtime_ns == written
    assert len(list(tmp_path.iterdir())) == 4
    sims.tl.cross_validate(cells, "cell_type", key_added="whole", groupby="donor", progress_bar=False, **quick)
    pd.testing.assert_frame_equal(without_seconds(cells, "cross_validation"), without_seconds(cells, "whole"))


def test_a_model_that_was_interrupted_is_not_scored(cells, quick, monkeypatch):
    """Training keeps the model so far; a study must not take that for a trained one."""

    def half_trained(*arguments: Any, **options: Any) -> Any:
        model = sims.tl.train(*arguments, **options)
        model.was_interrupted_ = True
        return model

    monkeypatch.setattr("sims_tools.tl._study_methods.train", half_trained)
    monkeypatch.setattr("sims_tools.tl._study_methods._load_kernels", lambda *_: None)
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        sims.tl.cross_validate(cells, "cell_type", progress_bar=False, **quick)
    assert "cross_validation" not in cells.uns


def test_the_checkpoint_of_other_cells_is_refused_before_anything_runs(cells, tmp_path):
    how = {"model": "logistic_regression", "n_folds": 2, "checkpoint": tmp_path, "progress_bar": False}
    sims.tl.cross_validate(cells, "cell_type", **how)
    cells.X.data[0] += 1
    del cells.uns["cross_validation"]
    with pytest.raises(ValueError, match="of another study: cells differ"):
        sims.tl.cross_validate(cells, "cell_type", **how)
    assert "cross_validation" not in cells.uns


@pytest.mark.parametrize("name", [*sims.models.available().index, "scanvi"])
def test_no_method_learns_from_cells_that_do_not_train(cells, small, name):
    """Counts, labels and label names of the others are changed: predictions must be the same to the bit."""
    options = {"max_epochs": 1} if name != "scanvi" else {"max_epochs": 2, "scanvi_max_epochs": 1}
    options |= {each: small[each] for each in ("n_d", "n_a", "n_steps", "n_members")} if name == "sims" else {}
    (method,) = resolve_methods({name: options})
    reading = {"layer": None, "unlabeled_category": "Unknown", "input_kind": "auto"}
    before = read_cells(cells, "cell_type", **reading)
    values = cells.X.toarray()
    values[150:] = values[150:, ::-1] * 50
    cells.X = sparse.csr_matrix(values)
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str)
    cells.obs.loc[cells.obs_names[150:], "cell_type"] = "a new type"
    after = read_cells(cells, "cell_type", **reading)
    train, asked = np.arange(120), np.arange(120, 150)
    fitted = [method.fit(each, train, 0) for each in (before, after)]
    first, second = (each.predict(these, asked) for each, these in zip(fitted, (before, after), strict=True))
    np.testing.assert_array_equal(fitted[0].classes, fitted[1].classes)
    np.testing.assert_array_equal(first.prob, second.prob)
    np.testing.assert_array_equal(first.called, second.called)


@pytest.mark.parametrize("kind", ["view", "backed", "copy"])
def test_views_backed_objects_and_copies(cells, tmp_path, kind):
    expected = cells.copy()
    how: dict[str, Any] = {"model": "linear_svm", "groupby": "donor", "progress_bar": False}
    sims.tl.cross_validate(expected, "cell_type", **how)
    if kind == "view":
        cells = ad.concat([cells, cells], index_unique="-")[: cells.n_obs]
    elif kind == "backed":
        cells.write_h5ad(tmp_path / "cells.h5ad")
        cells = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    found = sims.tl.cross_validate(cells, "cell_type", copy=kind == "copy", **how)
    if kind == "copy":
        assert "cross_validation" not in cells.uns
        cells = found
    pd.testing.assert_frame_equal(
        without_seconds(cells, "cross_validation"), without_seconds(expected, "cross_validation")
    )


def test_tables_survive_h5ad_and_zarr(cells, tmp_path):
    sims.tl.benchmark(cells, "cell_type", {"a/b": {"model": "knn"}, "linear_svm": {}}, n_folds=2, progress_bar=False)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    cells.write_zarr(tmp_path / "cells.zarr")
    for again in (ad.read_h5ad(tmp_path / "cells.h5ad"), ad.read_zarr(tmp_path / "cells.zarr")):
        for table in ("scores", "per_class"):
            found, expected = (sims.get.study_df(each, "benchmark", table) for each in (again, cells))
            pd.testing.assert_frame_equal(
                found.reset_index(drop=True), expected, check_dtype=False, check_index_type=False,
                check_column_type=False,
            )  # fmt: skip


def test_proteins_are_read_by_models_that_can(cite, as_anndata, quick):
    """A MuData, and the same cells as an AnnData with proteins in `.obsm`; baselines read genes alone."""
    models, how = {"sims": quick, "linear_svm": {}}, {"n_folds": 2, "progress_bar": False}
    sims.tl.benchmark(cite, "rna:cell_type", models, **how)
    adata = as_anndata(cite)
    sims.tl.benchmark(adata, "cell_type", models, protein_obsm_key="adt", **how)
    pd.testing.assert_frame_equal(without_seconds(cite, "benchmark"), without_seconds(adata, "benchmark"))
    sims.tl.benchmark(adata, "cell_type", models, key_added="rna", **how)
    both, genes = (sims.get.study_df(adata, key, "history")["train_loss"] for key in ("benchmark", "rna"))
    assert not np.allclose(both, genes)
    both, genes = (without_seconds(adata, key).query("model == 'linear_svm'") for key in ("benchmark", "rna"))
    pd.testing.assert_frame_equal(both, genes)


def test_groups_may_have_classes_of_their_own(cells):
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(str)
    alone = (cells.obs["donor"] == "donor_3") & (cells.obs["cell_type"] == "type_0")
    cells.obs.loc[alone, "cell_type"] = "only here"
    sims.tl.cross_validate(cells, "cell_type", model="linear_svm", groupby="donor", progress_bar=False)
    row = sims.get.study_df(cells, "cross_validation").set_index("group").loc["donor_3"]
    assert (row["n_novel"], row["novel"], row["n_classes"]) == (alone.sum(), "only here", 3)
    assert row["accuracy_all"] < row["accuracy"]


BAD: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("cross_validate", {"model": "sim"}, ValueError, "Did you mean 'sims'"),
    ("cross_validate", {"max_epoch": 3}, TypeError, "Did you mean 'max_epochs'"),
    ("cross_validate", {"preset": "none"}, ValueError, "preset"),
    ("cross_validate", {"learning_rate": -1}, ValueError, "learning_rate"),
    ("cross_validate", {"logger": None}, TypeError, "logger"),
    ("cross_validate", {"groupby": "doner"}, KeyError, "Did you mean 'donor'"),
    ("cross_validate", {"split_by": "doner"}, KeyError, "split_by"),
    ("cross_validate", {"n_jobs": 0}, ValueError, "n_jobs"),
    ("cross_validate", {"key_added": "mine"}, ValueError, "not a study"),
    ("cross_validate", {"key_added": "a/b"}, ValueError, "cannot be a key"),
    ("learning_curve", {"fractions": [2]}, ValueError, "fractions"),
    ("benchmark", {"models": []}, ValueError, "at least one"),
    ("benchmark", {"models": ["knn", "knn"]}, ValueError, "twice"),
    ("benchmark", {"models": {"mine": {}}}, ValueError, "'mine' is not one of|model='mine'"),
    ("benchmark", {"models": {"scanvi": {"n_latent": 3}}}, TypeError, "n_latent"),
]


@pytest.mark.parametrize(("name", "how", "error", "message"), BAD)
def test_what_cannot_be_done_is_said_before_anything_runs(cells, snapshot, changes, name, how, error, message):
    cells.uns["mine"] = {"a": 1}
    before = snapshot(cells)
    with pytest.raises(error, match=message):
        getattr(sims.tl, name)(cells, "cell_type", progress_bar=False, **how)
    assert changes(before, snapshot(cells)) == set()


def test_scanvi_needs_counts(cells):
    cells.X.data = np.log1p(cells.X.data)
    with pytest.raises(ValueError, match="needs raw counts"):
        sims.tl.benchmark(cells, "cell_type", ["scanvi"], input_kind="log1p", progress_bar=False)


def test_an_error_of_a_run_says_which(cells, monkeypatch):
    def fail(*_: Any) -> Any:
        raise FloatingPointError("Training diverged.")

    monkeypatch.setattr("sims_tools.studies._baselines.Baseline.fit", fail)
    with pytest.raises(FloatingPointError) as caught:
        sims.tl.cross_validate(cells, "cell_type", model="knn", progress_bar=False)
    assert "'knn, fold 0'" in caught.value.__notes__[0]
    assert "cross_validation" not in cells.uns


def test_a_table_of_no_study_is_refused(cells):
    with pytest.raises(KeyError, match="Run `sims.tl.cross_validate`"):
        sims.get.study_df(cells, "benchmark")
    cells.uns["sims"] = {"classes": np.array(["a"])}
    with pytest.raises(KeyError, match="is not a study"):
        sims.get.study_df(cells, "sims")


def test_a_study_replaces_the_one_before(cells):
    for n_folds in (2, 3):
        sims.tl.cross_validate(cells, "cell_type", model="linear_svm", n_folds=n_folds, progress_bar=False)
    assert len(sims.get.study_df(cells, "cross_validation")) == 3
    assert cells.uns["cross_validation"]["study"] == TABLES["cross_validation"]
