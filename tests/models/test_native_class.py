"""`models.SIMS` as a scvi-tools user knows it."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from scipy import sparse

import sims_tools as sims

SIMS = sims.models.SIMS
TINY = {"n_d": 4, "n_a": 4, "n_steps": 2, "n_members": 1}
RUN = {"batch_size": 64, "progress_bar": False}


@pytest.fixture
def native(cells: ad.AnnData) -> Any:
    """A model set up on `cells`, not trained."""
    SIMS.setup_anndata(cells, "cell_type")
    return SIMS(cells, **TINY)


def test_the_way_of_a_scvi_model(cells, native, tmp_path):
    assert not native.is_trained_
    native.train(2, **RUN)
    assert native.is_trained_
    labels = native.predict()
    assert labels.shape == (200,)
    assert set(labels) <= set(native.classes)
    soft = native.predict(soft=True)
    assert isinstance(soft, pd.DataFrame)
    assert list(soft.index) == list(cells.obs_names)
    assert list(soft.columns) == ["type_0", "type_1", "type_2"]
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(soft.columns.to_numpy()[soft.to_numpy().argmax(1)], labels)
    latent = native.get_latent_representation()
    assert latent.shape == (200, 4)
    assert latent.dtype == np.float32
    native.save(tmp_path / "model")
    loaded = SIMS.load(tmp_path / "model", adata=cells)
    np.testing.assert_array_equal(loaded.predict(), labels)
    np.testing.assert_array_equal(loaded.get_latent_representation(), latent)


def test_it_learns(cells):
    SIMS.setup_anndata(cells, "cell_type")
    model = SIMS(cells, n_d=8, n_a=8, sparsity=0.0)
    model.train(30, learning_rate=0.02, weight_average=0.9, batch_size=32, progress_bar=False)
    assert (model.predict() == cells.obs["cell_type"].astype(str)).mean() > 0.95


def test_tl_and_the_native_class_train_the_same_model(cells):
    through_tl = sims.tl.sims_train(cells.copy(), "cell_type", max_epochs=2, **TINY, **RUN)
    SIMS.setup_anndata(cells, "cell_type")
    model = SIMS(cells, **TINY)
    model.train(2, **RUN)
    first, second = model.module.state_dict(), through_tl.module.state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_genes_are_matched_by_name(cells, native):
    native.train(2, **RUN)
    expected = native.predict(soft=True)
    order = np.random.default_rng(0).permutation(60)
    np.testing.assert_allclose(native.predict(cells[:, order].copy(), soft=True), expected, atol=1e-5)
    np.testing.assert_allclose(
        native.get_latent_representation(cells[:, order]), native.get_latent_representation(), atol=1e-5
    )


def test_a_query_is_left_as_it_is(cells, native, snapshot, changes):
    native.train(1, **RUN)
    query = sims.data.planted_cells(n_cells=50, n_genes=60, n_classes=3, random_state=1)
    before = snapshot(query)
    native.predict(query, soft=True)
    native.get_latent_representation(query)
    assert changes(before, snapshot(query)) == set()


def test_a_layer_of_the_query(cells, native):
    native.train(1, **RUN)
    query = cells.copy()
    query.layers["counts"] = query.X.toarray()
    query.X = query.X * 0
    np.testing.assert_array_equal(native.predict(query, soft=True, layer="counts"), native.predict(soft=True))


def test_set_up_with_a_layer_it_predicts_from_that_layer(cells):
    """`predict()` without cells takes those the model was set up with, as it was set up with them."""
    expected = cells.copy()
    SIMS.setup_anndata(expected, "cell_type")
    reference = SIMS(expected, **TINY)
    reference.train(1, **RUN)
    cells.layers["counts"] = cells.X.copy()
    cells.X = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, cells.shape).astype(np.float32))
    SIMS.setup_anndata(cells, "cell_type", layer="counts")
    model = SIMS(cells, **TINY)
    model.train(1, **RUN)
    assert torch.equal(model.module.network.head.weight, reference.module.network.head.weight)
    np.testing.assert_array_equal(model.predict(soft=True), reference.predict(soft=True))
    np.testing.assert_array_equal(model.get_latent_representation(), reference.get_latent_representation())


def test_unlabelled_cells_are_left_out_and_called(cells):
    cells.obs["label"] = cells.obs["cell_type"].astype(str)
    cells.obs.loc[cells.obs_names[:20], "label"] = "Unknown"
    SIMS.setup_anndata(cells, "label")
    model = SIMS(cells, n_d=8, n_a=8, sparsity=0.0)
    model.train(15, learning_rate=0.02, weight_average=0.5, batch_size=32, progress_bar=False)
    assert sorted(model.classes) == ["type_0", "type_1", "type_2"]
    used = np.concatenate([model.train_indices, model.validation_indices])
    assert set(used) == set(range(20, 200))
    assert (model.predict() == cells.obs["cell_type"].astype(str)).mean() > 0.6


def test_training_twice_goes_on(native):
    options = {"weight_average": 0, "schedule": "constant", "penalty_warmup": 0}
    native.train(6, learning_rate=0.01, **options, **RUN)
    first = native.history_by_epoch
    native.train(2, learning_rate=1e-6, **options, **RUN)
    second = native.history_by_epoch
    assert list(second["epoch"]) == list(range(8))
    for name, values in first.items():
        np.testing.assert_array_equal(second[name][:6], values)
        assert np.isfinite(second[name]).all()
    assert second["train_loss"][6] < first["train_loss"][0]


def test_after_training_twice_the_metrics_are_those_of_the_weights(native, cells):
    options = {"restore_best": True, "weight_average": 0, "schedule": "constant", "validation_size": 0.3}
    native.train(1, learning_rate=0.02, **options, **RUN)
    native.train(5, learning_rate=0.02, **options, **RUN)
    held = cells[native.validation_indices]
    found = (native.predict(held) == held.obs["cell_type"].astype(str)).mean()
    assert native.metrics["accuracy_validation"] == pytest.approx(found)
    assert native.metrics["epoch"] == native.best_epoch_


class Interrupt(Callback):
    """Ctrl-C in the second epoch."""

    def __init__(self, hook: str) -> None:
        setattr(self, hook, self._press)

    def _press(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 1:
            raise KeyboardInterrupt


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_validation_end", "on_train_epoch_end"])
def test_an_interrupted_model_can_be_trained_on(native, hook):
    native.train(9, callbacks=[Interrupt(hook)], **RUN)
    assert native.was_interrupted_
    n_before = len(native.history_by_epoch["epoch"])
    native.train(3, **RUN)
    assert not native.was_interrupted_
    history = native.history_by_epoch
    assert list(history["epoch"]) == list(range(n_before + 3))
    for name, values in history.items():
        assert np.isfinite(values[-3:]).all(), name


def test_what_is_tracked_only_later_is_in_the_history(native):
    native.train(2, validation_size=0, **RUN)
    native.train(3, restore_best=True, **RUN)
    history = native.history_by_epoch
    assert list(history["epoch"]) == [0, 1, 2, 3, 4]
    assert list(np.isfinite(history["accuracy_validation"])) == [False] * 2 + [True] * 3
    assert native.metrics["epoch"] == native.best_epoch_ >= 2
    native.train(1, validation_size=0, **RUN)
    assert list(np.isfinite(native.history_by_epoch["validation_loss"])) == [False] * 2 + [True] * 3 + [False]


def test_set_up_with_a_layer_it_is_loaded_with_that_layer(cells, tmp_path):
    cells.layers["counts"] = cells.X.copy()
    cells.X = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, cells.shape).astype(np.float32))
    SIMS.setup_anndata(cells, "cell_type", layer="counts")
    model = SIMS(cells, **TINY)
    model.train(1, **RUN)
    model.save(tmp_path / "model")
    loaded = SIMS.load(tmp_path / "model", adata=cells)
    np.testing.assert_array_equal(loaded.predict(soft=True), model.predict(soft=True))


def test_set_up_with_a_kind_of_input_it_predicts_from_that_kind(cells):
    """Values that look logged and are said to be counts are counts in training and in `predict()`."""
    counts = cells.X.toarray().astype(np.float64)
    cells.X = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    SIMS.setup_anndata(cells, "cell_type", input_kind="counts")
    model = SIMS(cells, **TINY)
    model.train(1, **RUN)
    shares = cells.X / cells.X.sum(1, keepdims=True) * 1e4
    expected = ad.AnnData(np.rint(shares * 1e3), var=cells.var[[]])  # whole numbers that stand for the same
    np.testing.assert_allclose(model.predict(soft=True), model.predict(expected, soft=True), atol=1e-3)


def test_set_up_with_totals_it_predicts_with_those_totals(cells):
    """Half of the genes are kept; the totals over all of them hold for training and for `predict()`."""
    cells.obs["total"] = np.asarray(cells.X.sum(1)).ravel()
    half = cells[:, :30].copy()
    SIMS.setup_anndata(half, "cell_type", total_counts_key="total")
    model = SIMS(half, **TINY)
    model.train(1, **RUN)
    np.testing.assert_allclose(model.predict(soft=True), model.predict(cells, soft=True), atol=1e-5)
    np.testing.assert_allclose(
        model.get_latent_representation(), model.get_latent_representation(cells), rtol=1e-4, atol=1e-5
    )


def test_a_model_without_cells_says_so(native, tmp_path):
    native.train(1, **RUN)
    native.save(tmp_path / "model")
    loaded = SIMS.load(tmp_path / "model")
    with pytest.raises(ValueError, match="pass `adata`"):
        loaded.predict()
    with pytest.raises(ValueError, match="no cells to train on"):
        loaded.train(1, **RUN)


def test_unlabelled_cells_in_a_given_split_are_left_out(cells):
    cells.obs["label"] = cells.obs["cell_type"].astype(str)
    cells.obs.loc[cells.obs_names[:20], "label"] = "Unknown"
    SIMS.setup_anndata(cells, "label")
    model = SIMS(cells, **TINY)
    try:
        model.train(1, split=(np.arange(0, 150), np.arange(150, 200)), **RUN)
    except ValueError as error:
        assert "label" in str(error)  # noqa: PT017
    else:
        assert set(model.train_indices) == set(range(20, 150))


def test_a_given_split(native):
    train, validation = np.arange(0, 200, 2), np.arange(1, 200, 2)
    native.train(1, split=(train, validation), **RUN)
    np.testing.assert_array_equal(native.train_indices, train)
    np.testing.assert_array_equal(native.validation_indices, validation)


def test_a_known_variance_of_the_genes_is_taken(native):
    native.train(1, gene_variance=np.full(60, 4.0), **RUN)
    assert native.module.transform.gene_scale.tolist() == [0.5] * 60
    with pytest.raises(ValueError, match=r"shape \(59,\); expected \(60,\)"):
        native.train(1, gene_variance=np.ones(59), **RUN)


@pytest.mark.parametrize("preset", ["default", "sims", "sctab"])
@pytest.mark.parametrize(("n_train", "batch_size"), [(65, 64), (3, 2), (2, 1)])
def test_a_last_batch_of_one_cell(cells, preset, n_train, batch_size):
    SIMS.setup_anndata(cells, "cell_type")
    model = SIMS(cells, preset=preset, **TINY)
    split = (np.arange(n_train), np.arange(100, 120))
    model.train(1, split=split, batch_size=batch_size, progress_bar=False)
    assert np.isfinite(model.history_by_epoch["train_loss"]).all()
    assert np.isfinite(model.predict(soft=True).to_numpy()).all()


def test_the_user_may_name_presets_and_parameters(cells):
    SIMS.setup_anndata(cells, "cell_type")
    model = SIMS(cells, preset="sims", n_d=5, scale_genes=True)
    assert model.params_["network"]["n_d"] == 5
    assert model.params_["network"]["n_steps"] == 3
    assert model.params_["scale_genes"] is True
    assert model.module.network.n_d == 5


def test_clear_errors(cells, native):
    with pytest.raises(RuntimeError, match=r"train\(\)"):
        native.predict()
    with pytest.raises(TypeError, match=r"n_stepps.*n_steps"):
        SIMS(cells, n_stepps=3)
    with pytest.raises(TypeError, match=r"learning_rat.*learning_rate"):
        native.train(1, learning_rat=1, **RUN)
    with pytest.raises(ValueError, match="preset"):
        SIMS(cells, preset="best")
    with pytest.raises(KeyError, match=r"celltype.*Did you mean 'cell_type'"):
        SIMS.setup_anndata(cells, "celltype")
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[0], "cell_type"] = np.nan
    with pytest.raises(ValueError, match="NaN.*Unknown.*sims_train"):
        SIMS.setup_anndata(cells, "cell_type")


def test_no_labelled_cell_to_train_on(cells):
    SIMS.setup_anndata(cells, "cell_type")
    model = SIMS(cells, **TINY)
    with pytest.raises(ValueError, match="no labelled cell"):
        model.train(1, split=(np.empty(0, dtype=int), np.arange(5)), **RUN)


def test_setting_up_again_with_other_labels_does_not_change_a_model(cells):
    """Both write `_scvi_labels`; the first model must not train on the labels of the second."""
    SIMS.setup_anndata(cells, "cell_type")
    model = SIMS(cells, **TINY)
    reference = SIMS(cells, **TINY)
    reference.train(2, **RUN)
    cells.obs["other"] = cells.obs["cell_type"].cat.rename_categories({"type_0": "c", "type_1": "a", "type_2": "b"})
    SIMS.setup_anndata(cells, "other")
    model.train(2, **RUN)
    assert torch.equal(model.module.network.head.weight, reference.module.network.head.weight)


def test_it_says_what_it_is(native):
    assert repr(native) == "SIMS model: 3 classes, 60 genes, not trained"
    assert f"{native}" == repr(native)
    native.train(1, **RUN)
    assert "trained" in repr(native)
    assert "not trained" not in repr(native)


def test_gene_weights_are_the_mean_masks_of_training_cells(native, cells):
    np.testing.assert_allclose(native.gene_weights, 1 / 60)
    native.train(2, **RUN)
    sims.tl.annotate(cells, native, progress_bar=False)
    masks = cells.obsm["sims_masks"][native.train_indices]
    np.testing.assert_allclose(native.gene_weights, np.asarray(masks.mean(0)).ravel(), atol=1e-6)


def test_several_networks_decide_together(cells, tmp_path):
    options = {**TINY, "n_members": 3, "max_selected": 12, "nonzero_only": True}
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=3, **options, **RUN)
    assert len(model.module.network.members) == model.params_["n_members"] == 3
    sims.tl.annotate(cells, model, embedding=True, progress_bar=False)
    assert cells.obsm["X_sims"].shape == (200, 3 * 4)
    masks = cells.obsm["sims_masks"]
    np.testing.assert_allclose(masks.sum(1), 1, atol=1e-5)
    assert np.diff(masks.indptr).max() <= 2 * 12  # 12 a step of all members together
    model.save(tmp_path / "model")
    other = cells.copy()
    sims.tl.annotate(other, tmp_path / "model", progress_bar=False)
    np.testing.assert_array_equal(other.obsm["sims_prob"], cells.obsm["sims_prob"])


def test_members_by_the_number_of_labelled_cells(cells, monkeypatch):
    preset = SIMS.presets["default"]
    assert [preset.members_for(n) for n in (0, 5000, 10_000, 10_001, 10**6)] == [8, 8, 4, 3, 1]
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.add_categories("Unknown")
    cells.obs.loc[cells.obs_names[:50], "cell_type"] = "Unknown"
    asked = []
    monkeypatch.setattr(type(preset), "members_for", lambda self, n: asked.append(n) or 2)
    SIMS.setup_anndata(cells, "cell_type")
    assert SIMS(cells, n_d=4, n_a=4).params_["n_members"] == 2
    assert asked == [150]
    with pytest.raises(ValueError, match="n_members"):
        SIMS(cells, n_members=0)
