"""Training through `tl.sims_train`: labels, split, history, the weights that are kept, seeds, silence."""

from __future__ import annotations

import csv
import gc
import logging
import random
import warnings
import weakref
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from scipy import sparse

import sims_tools as sims
from sims_tools.confidence import softmax
from sims_tools.data._class_sums import ClassSums
from sims_tools.data._gene_choice import variance_and_class

SCORES = (
    "accuracy", "balanced_accuracy", "macro_f1", "weighted_f1", "median_f1", "macro_precision", "macro_recall",
    "macro_specificity",
)  # fmt: skip


def train(adata: ad.AnnData, small: dict[str, Any], labels_key: str = "cell_type", **options: Any) -> Any:
    return sims.tl.sims_train(adata, labels_key, **{"max_epochs": 1} | small | options)


def accuracy(model: Any, adata: ad.AnnData, part: str) -> float:
    """Share of right labels among the cells of one part of the split."""
    cells = adata[adata.obs["sims_split"] == part]
    return float((model.predict(cells) == cells.obs["cell_type"].astype(str).to_numpy()).mean())


# --- labels and split ------------------------------------------------------------------------------------------------

NUMBERS = {"type_0": 10, "type_1": 2, "type_2": 33}
COLUMNS = {
    "categories": lambda labels: labels,
    "ordered categories": lambda labels: labels.cat.set_categories(["type_2", "type_0", "type_1"], ordered=True),
    "objects": lambda labels: labels.astype(str).astype(object),
    "strings": lambda labels: labels.astype(str).astype("string"),
    "whole numbers": lambda labels: labels.astype(str).map(NUMBERS).astype(int),
    "floats": lambda labels: labels.astype(str).map(NUMBERS).astype(float) / 4,
    "booleans": lambda labels: labels == "type_0",
    "categories of numbers": lambda labels: labels.cat.rename_categories(NUMBERS),
}
CLASSES = {
    "ordered categories": ["type_2", "type_0", "type_1"],
    "whole numbers": ["2", "10", "33"],
    "floats": ["0.5", "2.5", "8.25"],
    "booleans": ["False", "True"],
    "categories of numbers": ["10", "2", "33"],
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_labels_may_be_of_any_type(cells, small, kind):
    cells.obs["label"] = COLUMNS[kind](cells.obs["cell_type"])
    model = train(cells, small, "label")
    assert list(model.classes) == CLASSES.get(kind, ["type_0", "type_1", "type_2"])
    assert list(cells.uns["sims"]["classes"]) == list(model.classes)
    assert set(cells.obs["sims_split"]) == {"train", "validation"}


MISSING = {
    "categories": lambda labels: labels,
    "objects": lambda labels: labels.astype(object),
    "strings": lambda labels: labels.astype("string"),
    "floats": lambda labels: labels.astype(object).map(NUMBERS).astype(float),
    "nullable integers": lambda labels: labels.astype(object).map(NUMBERS).astype(float).astype("Int64"),
}


@pytest.mark.parametrize("kind", MISSING)
def test_cells_without_a_label_are_marked_and_left_out(cells, small, kind):
    labels = cells.obs["cell_type"].copy()
    labels.iloc[:20] = np.nan
    cells.obs["label"] = MISSING[kind](labels)
    model = train(cells, small, "label")
    split = cells.obs["sims_split"]
    assert list(split.cat.categories) == ["train", "validation", "unlabeled"]
    assert (split.iloc[:20] == "unlabeled").all()
    assert (split.iloc[20:] != "unlabeled").all()
    assert len(model.classes) == 3


@pytest.mark.parametrize("name", ["Unknown", "?"])
def test_the_unlabeled_category_is_no_class(cells, small, name):
    labels = cells.obs["cell_type"].astype(str)
    labels[::5] = name
    cells.obs["label"] = labels.astype("category")
    model = train(cells, small, "label", unlabeled_category=name)
    assert list(model.classes) == ["type_0", "type_1", "type_2"]
    np.testing.assert_array_equal(cells.obs["sims_split"] == "unlabeled", labels == name)


def test_unlabeled_cells_are_left_out_of_every_batch(cells, small):
    cells.obs["cell_type"] = cells.obs["cell_type"].astype(object)
    cells.obs.loc[cells.obs_names[:30], "cell_type"] = np.nan
    seen = Batches()
    train(cells, small, callbacks=[seen])
    totals = np.asarray(cells.X.sum(1)).ravel()
    expected = totals[(cells.obs["sims_split"] == "train").to_numpy()]
    np.testing.assert_allclose(np.sort(np.concatenate(seen.epochs[0])), np.sort(expected))


def test_unused_categories_are_no_classes(cells, small):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.add_categories(["gone", "never there"])
    assert list(train(cells, small).classes) == ["type_0", "type_1", "type_2"]


def test_classes_of_one_cell_train(cells, small, caplog):
    labels = cells.obs["cell_type"].astype(str)
    labels.iloc[7] = "rare"
    cells.obs["cell_type"] = labels
    with caplog.at_level(logging.INFO, "sims_tools"):
        model = train(cells, small)
    assert list(model.classes) == ["rare", "type_0", "type_1", "type_2"]
    assert cells.obs["sims_split"].iloc[7] == "train"
    assert any("one cell" in each.getMessage() and "rare" in each.getMessage() for each in caplog.records)


def test_the_split_is_stratified(cells, small):
    train(cells, small, validation_size=0.25)
    table = pd.crosstab(cells.obs["cell_type"], cells.obs["sims_split"])
    np.testing.assert_allclose(table["validation"], table.sum(axis=1) * 0.25, atol=0.51)


def test_whole_groups_are_held_out(cells, small):
    model = train(cells, small, split_by="donor", validation_size=0.3)
    table = pd.crosstab(cells.obs["donor"], cells.obs["sims_split"])
    assert ((table > 0).sum(axis=1) == 1).all()
    assert 0.2 < (cells.obs["sims_split"] == "validation").mean() < 0.6
    assert list(model.classes) == ["type_0", "type_1", "type_2"]
    assert cells.uns["sims"]["params"]["split_by"] == "donor"


def test_without_validation_all_cells_train(cells, small):
    model = train(cells, small, validation_size=0, max_epochs=2)
    assert (cells.obs["sims_split"] == "train").all()
    assert not any("validation" in name for name in model.history_by_epoch)
    assert len(model.history_by_epoch["train_loss"]) == 2
    assert model.predict(cells).shape == (200,)


def test_too_few_cells_to_hold_any_out(cells, small):
    """Three cells of each class, and a tenth of each asked for: nothing is validated, and training works."""
    few = cells[[i for name in "012" for i in np.flatnonzero(cells.obs["cell_type"] == f"type_{name}")[:3]]].copy()
    model = train(few, small)
    assert (few.obs["sims_split"] == "train").all()
    assert np.isfinite(model.predict(few, soft=True).to_numpy()).all()


def test_what_is_unusual_about_the_labels_is_logged(small, caplog):
    weights = np.array([1.0, 300, 300])
    adata = sims.data.planted_cells(n_cells=500, n_genes=30, n_classes=3, weights=weights)
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(object)
    adata.obs.loc[adata.obs_names[:40], "cell_type"] = np.nan
    with caplog.at_level(logging.INFO, "sims_tools"):
        train(adata, small)
    said = [(each.levelname, each.getMessage()) for each in caplog.records if each.name.startswith("sims_tools")]
    assert any(level == "INFO" and "40 of 500" in text for level, text in said)
    assert any(level == "WARNING" and "imbalanced" in text and "type_0" in text for level, text in said)


def test_cells_without_counts_are_left_out(cells, small, caplog):
    counts = cells.X.toarray()
    counts[[3, 50]] = 0
    cells.X = counts
    with caplog.at_level(logging.INFO, "sims_tools"):
        train(cells, small)
    assert list(np.flatnonzero(cells.obs["sims_split"] == "unlabeled")) == [3, 50]
    assert any("2 labelled cells" in each.getMessage() for each in caplog.records)


# --- input ------------------------------------------------------------------------------------------------------------


def test_counts_in_a_layer_train_the_same_model(cells, small):
    expected = train(cells.copy(), small)
    cells.layers["counts"] = cells.X.toarray().astype(np.int32)
    cells.X = cells.X * 0
    assert_same_bits(train(cells, small, layer="counts"), expected)


@pytest.mark.parametrize("total", [1e4, 100.0, 1.0])
@pytest.mark.parametrize("logged", [True, False])
@pytest.mark.parametrize("n_top_genes", [None, 30])
def test_normalised_input_is_brought_to_the_scale_of_counts(cells, small, total, logged, n_top_genes):
    """What training fits to the data, the scale of each gene, shows what the data were taken for."""
    expected = train(cells.copy(), small, n_top_genes=n_top_genes)
    counts = cells.X.toarray().astype(np.float64)
    normalised = counts / counts.sum(1, keepdims=True) * total
    cells.X = np.log1p(normalised) if logged else normalised
    found = train(cells, small, n_top_genes=n_top_genes)
    assert list(found.genes) == list(expected.genes)
    scales = [each.module.transform.gene_scale.numpy() for each in (found, expected)]
    np.testing.assert_allclose(*scales, rtol=1e-3)


def _scale_by_hand(values: np.ndarray, train_cells: np.ndarray) -> np.ndarray:
    return 1 / np.log1p(values / values.sum(1, keepdims=True) * 1e4)[train_cells].std(0)


def test_the_user_may_overrule_the_kind_of_input(cells, small):
    """Values that look logged and are said to be counts are taken as they are, all the way into the model."""
    counts = cells.X.toarray().astype(np.float64)
    cells.X = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    model = train(cells, small, input_kind="counts")
    expected = _scale_by_hand(cells.X, (cells.obs["sims_split"] == "train").to_numpy())
    np.testing.assert_allclose(model.module.transform.gene_scale, expected, rtol=1e-3)


@pytest.mark.parametrize("n_top_genes", [None, 30])
def test_logged_values_are_unlogged_once(cells, small, n_top_genes):
    """Also where the linear values, corrected counts in small numbers, could pass for logarithms themselves."""
    corrected = cells.X.toarray() * np.random.default_rng(0).uniform(0.5, 1, cells.shape)
    normalised = corrected / corrected.sum(1, keepdims=True) * 20
    cells.X = np.log1p(normalised)
    model = train(cells, small, n_top_genes=n_top_genes)
    expected = pd.Series(_scale_by_hand(normalised, (cells.obs["sims_split"] == "train").to_numpy()), cells.var_names)
    np.testing.assert_allclose(model.module.transform.gene_scale, expected[model.genes], rtol=1e-3)


def test_genes_are_chosen_on_training_cells_and_remembered(cells, small):
    model = train(cells, small, n_top_genes=20)
    train_cells = (cells.obs["sims_split"] == "train").to_numpy()
    counts, codes = cells.X[train_cells], cells.obs["cell_type"].cat.codes.to_numpy()[train_cells]
    sums = ClassSums.over([(sparse.csr_matrix(counts), np.asarray(counts.sum(1)).ravel(), codes)], 3, 60)
    assert list(model.genes) == list(cells.var_names[variance_and_class(sums, 20)])
    assert list(cells.uns["sims"]["features"]) == list(model.genes)
    sims.tl.annotate(cells, model, progress_bar=False)
    assert cells.obsm["sims_masks"].shape == (200, 20)


@pytest.mark.parametrize("n_top_genes", [None, 20, 1000])
def test_the_variance_of_the_genes_is_computed_once(cells, small, monkeypatch, n_top_genes):
    from sims_tools.models import _training_data

    passes = []
    for module, name in ((_training_data, "gene_moments"), (ClassSums, "over")):
        original = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, do=original, **named: passes.append(1) or do(*args, **named))
    model = train(cells, small, n_top_genes=n_top_genes, scale_genes=True)
    assert len(passes) == 1
    trained = (cells.obs["sims_split"] == "train").to_numpy()
    scale = pd.Series(_scale_by_hand(cells.X.toarray(), trained), cells.var_names)
    np.testing.assert_allclose(model.module.transform.gene_scale, scale[model.genes], rtol=1e-3)


def test_more_genes_than_there_are_is_all_genes(cells, small):
    assert len(train(cells, small, n_top_genes=1000).genes) == 60


def test_a_gene_that_is_silent_in_the_reference_says_nothing_of_a_query(cells, small):
    counts = cells.X.toarray()
    counts[:, 4] = 0
    cells.X = counts
    model = train(cells, small, scale_genes=True)
    loud = cells.copy()
    loud.X[:, 4] = 1000
    quiet = cells.copy()
    quiet.var_names = [*cells.var_names[:4], "another gene", *cells.var_names[5:]]
    quiet.X[:, 4] = 1000
    np.testing.assert_allclose(model.predict(loud, soft=True), model.predict(quiet, soft=True), atol=1e-6)
    assert np.isfinite(model.predict(loud, soft=True).to_numpy()).all()


# --- history and the weights that are kept ----------------------------------------------------------------------------


def test_history_has_every_quantity_for_training_and_validation(cells, small):
    model = train(cells, small, max_epochs=3)
    history = cells.uns["sims"]["history"]
    expected = {f"{score}_{part}" for score in SCORES for part in ("train", "validation")}
    assert expected | {"epoch", "train_loss", "validation_loss"} <= set(history)
    for values in history.values():
        assert isinstance(values, np.ndarray)
        assert values.dtype == float
        assert values.shape == (3,)
        assert np.isfinite(values).all()
    assert list(history["epoch"]) == [0, 1, 2]
    assert set(model.history_by_epoch) == set(history)


def test_a_logger_is_fed_beside_the_history(cells, small, tmp_path):
    train(cells, small, max_epochs=2, logger=CSVLogger(tmp_path, name="run"))
    (file,) = tmp_path.rglob("metrics.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    history = cells.uns["sims"]["history"]
    for name in ("train_loss", "validation_loss", "accuracy_train", "accuracy_validation", "median_f1_validation"):
        logged = [float(row[name]) for row in rows if row.get(name)]
        np.testing.assert_allclose(logged, history[name], rtol=1e-5)


def test_several_loggers(cells, small, tmp_path):
    train(cells, small, logger=[CSVLogger(tmp_path / "a"), CSVLogger(tmp_path / "b")])
    assert len(list(tmp_path.rglob("metrics.csv"))) == 2


@pytest.mark.parametrize("weight_average", [0.0, 0.8])
@pytest.mark.parametrize("monitor", ["accuracy", "macro_f1", "validation_loss"])
def test_training_stops_early_and_returns_to_the_best_epoch(cells, small, monitor, weight_average):
    model = train(
        cells, small, max_epochs=25, patience=2, monitor=monitor, restore_best=True, learning_rate=0.03,
        weight_average=weight_average, validation_size=0.3,
    )  # fmt: skip
    facts = cells.uns["sims"]
    history, metrics = facts["history"], facts["metrics"]
    name = "validation_loss" if monitor == "validation_loss" else f"{monitor}_validation"
    values = history[name] if name == "validation_loss" else -history[name]
    best = int(values.argmin())
    assert metrics["epoch"] == best
    assert metrics[name] == history[name][best]
    assert len(values) < 25
    assert len(values) - 1 - best == 2
    assert accuracy(model, cells, "validation") == pytest.approx(metrics["accuracy_validation"])


def test_without_restoring_the_metrics_are_those_of_the_weights_that_are_kept(cells, small):
    """The last epoch's, though another was better."""
    for seed in range(10):
        model = train(
            cells, small, max_epochs=4, restore_best=False, weight_average=0, learning_rate=0.05, random_state=seed,
            validation_size=0.3, schedule="constant",
        )  # fmt: skip
        facts = cells.uns["sims"]
        curve = facts["history"]["accuracy_validation"]
        if curve[-1] < curve.max():
            break
    assert curve[-1] < curve.max(), "no seed gave a last epoch that is not the best"
    assert accuracy(model, cells, "validation") == pytest.approx(curve[-1])
    assert facts["metrics"]["accuracy_validation"] == pytest.approx(curve[-1])


def test_patience_zero_trains_all_epochs(cells, small):
    train(cells, small, max_epochs=6, patience=0)
    assert len(cells.uns["sims"]["history"]["epoch"]) == 6


def test_what_was_asked_for_is_recorded(cells, small):
    train(cells, small, n_top_genes=30, gamma=1.7, learning_rate=0.003, validation_size=0.2, random_state=3)
    params = cells.uns["sims"]["params"]
    assert (params["labels_key"], params["n_top_genes"], params["validation_size"]) == ("cell_type", 30, 0.2)
    assert (params["preset"], params["random_state"]) == ("default", 3)
    assert params["network"]["gamma"] == 1.7
    assert params["network"]["n_d"] == 4
    assert params["training"]["learning_rate"] == 0.003
    assert params["training"]["max_epochs"] == 1
    assert set(cells.uns["sims"]) == {"classes", "features", "params", "versions", "metrics", "history"}


# --- loss and optimisation --------------------------------------------------------------------------------------------


class Batches(Callback):
    """Totals of the cells of each batch, by epoch."""

    def __init__(self) -> None:
        self.epochs: list[list[np.ndarray]] = []

    def on_train_epoch_start(self, *_: Any) -> None:
        self.epochs.append([])

    def on_train_batch_start(self, trainer: Any, plan: Any, batch: dict[str, Any], index: int) -> None:
        self.epochs[-1].append(batch["X"].to_dense().sum(1).numpy())


def test_cells_are_shuffled_every_epoch(cells, small):
    seen = Batches()
    train(cells, small, max_epochs=3, callbacks=[seen])
    orders = [np.concatenate(epoch) for epoch in seen.epochs]
    totals = np.asarray(cells.X.sum(1)).ravel()[(cells.obs["sims_split"] == "train").to_numpy()]
    for order in orders:
        assert not np.array_equal(order, totals)
        np.testing.assert_allclose(np.sort(order), np.sort(totals))
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])
    assert [len(batch) for batch in seen.epochs[0]][:-1] == [64] * (len(seen.epochs[0]) - 1)


class GradientNorm(Callback):
    """Largest norm of the mean gradient that steps were made with; that of clipped gradients is no larger than they."""

    largest = 0.0

    def on_train_batch_end(self, trainer: Any, plan: Any, *_: Any) -> None:
        means = [state["exp_avg"].norm() for state in trainer.optimizers[0].state.values()]
        self.largest = max(self.largest, float(torch.stack(means).norm()))


@pytest.mark.parametrize("clip", [0, 1e-3])
def test_gradients_are_clipped_where_asked(cells, small, clip):
    seen = GradientNorm()
    train(cells, small, gradient_clip=clip, callbacks=[seen])
    assert 0 < seen.largest
    assert (seen.largest <= 1.01e-3) == bool(clip)


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_classes_weigh_by_inverse_frequency(small, power):
    adata = sims.data.planted_cells(n_cells=300, n_genes=30, n_classes=3, weights=np.array([1.0, 4, 10]))
    model = train(adata, small, class_weights=power)
    counts = adata.obs["cell_type"][adata.obs["sims_split"] == "train"].value_counts()[list(model.classes)].to_numpy()
    weights = model.module.class_weights.numpy()
    np.testing.assert_allclose(weights * counts**power, (weights * counts**power)[0], rtol=1e-4)
    assert (weights * counts).sum() == pytest.approx(counts.sum(), rel=1e-4)


def test_class_weights_help_the_rare_class(small):
    adata = sims.data.planted_cells(n_cells=400, n_genes=30, n_classes=3, weights=np.array([1.0, 15, 15]), fold=2)
    found = {}
    for power in (0.0, 1.0):
        model = train(adata, small, class_weights=power, max_epochs=5, learning_rate=0.02, weight_average=0)
        logits = np.concatenate([each.logits for each in model.infer(adata)])
        found[power] = float(softmax(logits)[:, 0].mean())  # calibration would take part of it back
    assert found[1.0] > 2 * found[0.0]


@pytest.mark.parametrize("preset", ["default", "sims", "sctab"])
def test_every_preset_trains(cells, preset):
    model = sims.tl.sims_train(cells, "cell_type", preset=preset, max_epochs=1, progress_bar=False)
    assert np.isfinite(model.predict(cells, soft=True).to_numpy()).all()
    assert cells.uns["sims"]["params"]["preset"] == preset


def test_the_thesis_preset_is_the_thesis():
    preset = sims.models.SIMS.presets["sims"]
    network, training = preset.network, preset.training
    assert (network["n_d"], network["n_a"], network["n_steps"], network["gamma"]) == (8, 8, 3, 1.3)
    assert network["selector"] == "sparsemax"
    assert (training.optimizer, training.learning_rate, training.weight_decay) == ("Adam", 0.01, 1e-3)
    assert (training.schedule, training.lr_factor, training.class_weights) == ("plateau", 0.75, 1.0)
    assert (training.gradient_clip, training.monitor, training.patience) == (0.5, "accuracy", 4)


def test_hardware_settings_reach_lightning(cells, small):
    from lightning.pytorch.strategies import SingleDeviceStrategy

    strategy, seen = SingleDeviceStrategy(device=torch.device("cpu")), []

    class Watch(Callback):
        def on_train_start(self, trainer: Any, plan: Any) -> None:
            seen.append((trainer.strategy, trainer.num_devices, type(trainer.accelerator).__name__))

    train(cells, small, accelerator="cpu", devices=1, strategy=strategy, callbacks=[Watch()])
    assert seen == [(strategy, 1, "CPUAccelerator")]


def test_half_precision_trains_and_keeps_whole_weights(cells, small):
    model = train(cells, small, precision="bf16-mixed", max_epochs=2)
    assert all(each.dtype == torch.float32 for each in model.module.parameters())
    assert np.isfinite(model.history_by_epoch["train_loss"]).all()
    np.testing.assert_allclose(model.predict(cells, soft=True).sum(axis=1), 1, atol=1e-5)


def test_the_masks_stay_float32_in_half_precision(cells, small):
    halved: list[bool] = []
    masks: list[torch.dtype] = []

    class Watch(Callback):
        def on_train_start(self, trainer: Any, plan: Any) -> None:
            network = plan.module.network
            self.hook = network.register_forward_pre_hook(lambda *_: halved.append(torch.is_autocast_enabled("cpu")))

        def on_train_end(self, trainer: Any, plan: Any) -> None:
            self.hook.remove()

        def on_train_batch_end(self, trainer: Any, plan: Any, outputs: Any, batch: Any, index: int) -> None:
            with torch.no_grad(), trainer.precision_plugin.forward_context():
                found = plan.module.inference(**plan.module._get_inference_input(batch), explain=True)
            masks.append(found["masks"].dtype)

    train(cells, small, precision="bf16-mixed", callbacks=[Watch()])
    assert halved
    assert all(halved)
    assert set(masks) == {torch.float32}


# --- seeds ------------------------------------------------------------------------------------------------------------


def assert_same_bits(first: Any, second: Any) -> None:
    one, two = first.module.state_dict(), second.module.state_dict()
    assert set(one) == set(two)
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name, values in first.history_by_epoch.items():
        np.testing.assert_array_equal(values, second.history_by_epoch[name])


def test_the_same_seed_gives_the_same_bits_whatever_the_global_streams(cells, small):
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)
    first, split = train(cells, small, max_epochs=2), cells.obs["sims_split"].copy()
    torch.manual_seed(2)
    np.random.seed(2)  # noqa: NPY002
    random.seed(2)
    second = train(cells, small, max_epochs=2)
    assert_same_bits(first, second)
    pd.testing.assert_series_equal(cells.obs["sims_split"], split)


def test_the_storage_does_not_change_the_bits(cells, small):
    first = train(cells, small)
    cells.X = cells.X.toarray().astype(np.float64)
    assert_same_bits(train(cells, small), first)


def test_a_different_seed_gives_a_different_model_and_split(cells, small):
    first, split = train(cells, small), cells.obs["sims_split"].copy()
    second = train(cells, small, random_state=1)
    assert not torch.equal(first.module.network.head.weight, second.module.network.head.weight)
    assert not cells.obs["sims_split"].equals(split)


def test_without_a_seed_each_training_differs(cells, small):
    first, second = (train(cells, small, random_state=None) for _ in range(2))
    assert not torch.equal(first.module.network.head.weight, second.module.network.head.weight)


def test_global_streams_are_left_where_they_were(cells, small):
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    train(cells, small)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert random.getstate() == python_state


@pytest.mark.parametrize("fails", [False, True])
def test_the_number_of_threads_is_put_back(cells, small, fails):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        if fails:
            with pytest.raises(ValueError, match="monitor"):
                train(cells, small, monitor="nothing")
        else:
            train(cells, small)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


# --- what it leaves behind --------------------------------------------------------------------------------------------


def test_it_is_silent_when_asked(cells, small, capfd):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)  # between libraries; Python does not show them to users
        train(cells, small, max_epochs=2)
    assert [str(each.message) for each in caught] == []
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_it_shows_a_bar_otherwise(cells, small, capfd):
    train(cells, small | {"progress_bar": True})
    out, err = capfd.readouterr()
    assert "1/1" in out + err


def test_levels_of_other_loggers_are_put_back(cells, small):
    names = ("lightning", "lightning.pytorch", "scvi")
    for name in names:
        logging.getLogger(name).setLevel(logging.DEBUG)
    filters = list(warnings.filters)
    train(cells, small)
    assert [logging.getLogger(name).level for name in names] == [logging.DEBUG] * 3
    assert warnings.filters == filters


def stores() -> list[int]:
    """Sizes of scvi-tools' class-level stores, which would keep objects alive for ever."""
    return [len(sims.models.SIMS._setup_adata_manager_store), len(sims.models.SIMS._per_instance_manager_store)]


@pytest.mark.parametrize("kind", ["csr", "dense"])
def test_the_model_does_not_keep_the_cells_alive(small, kind):
    adata = sims.data.planted_cells(n_cells=100, n_genes=30, n_classes=3)
    adata.X = adata.X if kind == "csr" else adata.X.toarray()
    matrix = weakref.ref(adata.X.data if kind == "csr" else adata.X)
    before = stores()
    model = train(adata, small)
    assert stores() == before
    whole = weakref.ref(adata)
    del adata
    gc.collect()
    assert whole() is None
    assert matrix() is None
    assert model.is_trained_


@pytest.mark.parametrize("params", [{"no_such": 1}, {"n_d": 0}, {"gene_dropout": 2}, {"callbacks": ["not a callback"]}])
def test_a_failed_training_keeps_nothing_alive(cells, small, params):
    before = stores()
    with pytest.raises((TypeError, ValueError, AttributeError)):
        train(cells, small, **params)
    assert stores() == before


def test_a_model_trained_here_predicts_and_saves(cells, small, tmp_path: Path):
    model = train(cells, small)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(sims.models.load(tmp_path / "model").predict(cells), model.predict(cells))
    with pytest.raises(ValueError, match="pass `adata`"):
        model.predict()
