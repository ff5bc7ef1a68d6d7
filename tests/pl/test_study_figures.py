"""Figures of studies show the numbers of their tables."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from anndata import AnnData
from matplotlib.axes import Axes

import sims_tools as sims

QUICK: dict[str, Any] = {"n_d": 4, "n_a": 4, "n_steps": 2, "n_members": 1, "batch_size": 64, "max_epochs": 3}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def studied() -> AnnData:
    """200 cells with one study of each kind; do not change it."""
    cells = sims.data.planted_cells(n_cells=200, n_genes=60, n_classes=3)
    how: dict[str, Any] = {"progress_bar": False}
    sims.tl.cross_validate(cells, "cell_type", model="linear_svm", groupby="donor", **how)
    sims.tl.learning_curve(cells, "cell_type", fractions=[0.3, 1], n_repeats=2, **QUICK, **how)
    sims.tl.benchmark(cells, "cell_type", ["knn", "linear_svm", "logistic_regression"], n_folds=2, **how)
    return cells


def drawn(ax: Axes) -> np.ndarray:
    """All points of scatter plots, (n, 2)."""
    return np.concatenate([np.asarray(each.get_offsets()) for each in ax.collections])


def names(ax: Axes) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


def test_each_group_has_its_row_and_its_scores(studied):
    table = sims.get.study_df(studied, "cross_validation")
    accuracies, f1 = sims.pl.cross_validation(studied, show=False)
    assert names(accuracies) == [f"donor_{i} ({n})" for i, n in enumerate(table["n_test"])]
    assert [each.get_xlabel() for each in (accuracies, f1)] == ["accuracy", "F1"]
    for ax, wanted in ((accuracies, ["balanced_accuracy", "weighted_accuracy"]), (f1, ["macro_f1", "median_f1"])):
        points = drawn(ax)
        np.testing.assert_allclose(points[:, 0], table[wanted].to_numpy().ravel("F"))
        np.testing.assert_array_equal(np.round(points[:, 1]), np.tile(np.arange(4), 2))
        assert ax.get_xlim()[0] <= points[:, 0].min()
    assert [text.get_text() for text in f1.get_legend().get_texts()] == ["macro", "median"]


def test_a_score_that_is_missing_has_no_point(studied):
    (ax,) = sims.pl.cross_validation(studied, metrics=["ece"], show=False)
    assert drawn(ax).shape == (0, 2)
    assert ax.get_xlabel() == "calibration error"


def test_folds_have_their_names_where_there_are_no_groups(studied):
    axes = sims.pl.cross_validation(studied, study="benchmark", show=False)
    assert names(axes[0])[0] == "fold 0 (100)"


def test_a_curve_goes_through_the_means(studied):
    table = sims.get.study_df(studied, "learning_curve")
    axes = sims.pl.learning_curve(studied, metrics=["macro_f1"], show=False)
    means = table.groupby("fraction")[["n_train", "macro_f1"]].mean()
    np.testing.assert_allclose(axes[0].lines[0].get_xydata(), means)
    np.testing.assert_allclose(drawn(axes[0]), table[["n_train", "macro_f1"]])
    history = sims.get.study_df(studied, "learning_curve", "history")
    for ax, column in zip(axes[1:], ("validation_loss", "median_f1_validation", "accuracy_validation"), strict=True):
        assert [line.get_label() for line in ax.lines] == ["0.3", "1"]
        expected = history[history["fraction"] == 1].groupby("epoch")[column].mean()
        np.testing.assert_allclose(ax.lines[1].get_ydata(), expected)


def test_without_a_history_there_is_one_panel(studied):
    cells = studied.copy()
    del cells.uns["learning_curve"]["history"]
    assert len(sims.pl.learning_curve(cells, show=False)) == 1
    with pytest.raises(ValueError, match="history"):
        sims.pl.learning_curve(cells, curves=["loss"], show=False)
    assert len(sims.pl.learning_curve(studied, curves=[], show=False)) == 1


def test_methods_are_sorted_and_their_means_are_drawn(studied):
    table = sims.get.study_df(studied, "benchmark")
    axes = sims.pl.benchmark(studied, metrics=["macro_f1", "train_seconds"], show=False)
    means = table.groupby("model")["macro_f1"].mean().sort_values(ascending=False)
    order = names(axes[0])
    np.testing.assert_allclose(means[order], means)
    np.testing.assert_allclose([line.get_xdata()[0] for line in axes[0].lines], means[order])
    medians = table.groupby("model")["train_seconds"].median()
    np.testing.assert_allclose([line.get_xdata()[0] for line in axes[1].lines], medians[order])
    assert axes[1].get_xscale() == "log"
    assert len(drawn(axes[0])) == 6


@pytest.mark.parametrize("name", ["cross_validation", "learning_curve", "benchmark"])
def test_what_they_hand_back_and_refuse(studied, name, snapshot, changes):
    draw, before = getattr(sims.pl, name), snapshot(studied)
    assert draw(studied, show=True) is None
    assert isinstance(draw(studied, return_fig=True), plt.Figure)
    with pytest.raises(ValueError, match="Did you mean 'macro_f1'"):
        draw(studied, metrics=["macrof1"], show=False)
    with pytest.raises(ValueError, match="is empty"):
        draw(studied, metrics=[], show=False)
    with pytest.raises(KeyError, match="'none' is not in"):
        draw(studied, study="none", show=False)
    assert changes(before, snapshot(studied)) == set()
