"""Scores are scikit-learn's where there is one of that name."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from sims_tools.studies._method import Prediction
from sims_tools.studies._scores import score_groups

CLASSES = np.array(["a", "b", "c"], dtype=object)


def made_up(n: int = 60) -> tuple[Prediction, np.ndarray]:
    rng = np.random.default_rng(0)
    prob = rng.dirichlet(np.ones(3), n)
    return Prediction(prob, prob.argmax(1)), CLASSES[
        np.where(rng.random(n) < 0.6, prob.argmax(1), rng.integers(0, 3, n))
    ]


def test_scores_are_those_of_scikit_learn():
    prediction, truth = made_up()
    (row,), per_class = score_groups(prediction, CLASSES, truth, np.full(60, "all"), gives_probabilities=True)
    called = CLASSES[prediction.called].astype(str)
    truth = truth.astype(str)
    each = metrics.f1_score(truth, called, average=None)
    np.testing.assert_allclose(row["accuracy"], metrics.accuracy_score(truth, called))
    np.testing.assert_allclose(row["balanced_accuracy"], metrics.balanced_accuracy_score(truth, called))
    np.testing.assert_allclose(row["macro_f1"], each.mean())
    np.testing.assert_allclose(row["median_f1"], np.median(each))
    np.testing.assert_allclose(row["weighted_f1"], metrics.f1_score(truth, called, average="weighted"))
    np.testing.assert_allclose(row["weighted_accuracy"], metrics.recall_score(truth, called, average="weighted"))
    np.testing.assert_allclose([each["f1"] for each in per_class], each)
    assert (row["n_test"], row["n_novel"], row["novel"], row["accuracy_all"]) == (60, 0, "", row["accuracy"])
    assert 0 < row["ece"] < 1


def test_groups_are_scored_apart():
    prediction, truth = made_up()
    groups = np.repeat(["x", "y"], 30).astype(object)
    rows, _ = score_groups(prediction, CLASSES, truth, groups, gives_probabilities=True)
    assert [row["group"] for row in rows] == ["x", "y"]
    for row, cells in zip(rows, (slice(0, 30), slice(30, 60)), strict=True):
        assert row["accuracy"] == pytest.approx((CLASSES[prediction.called] == truth)[cells].mean())


def test_novel_cells_are_wrong_unless_they_are_not_called_and_stand_apart():
    prob = np.tile([0.8, 0.1, 0.1], (4, 1))
    prediction = Prediction(prob, np.array([0, 0, 3, 3]))
    truth = np.array(["a", "new", "new", "a"], dtype=object)
    (row,), _ = score_groups(prediction, CLASSES, truth, np.full(4, "all"), gives_probabilities=True)
    assert (row["n_test"], row["n_novel"], row["novel"]) == (4, 2, "new")
    assert row["accuracy"] == 0.5  # of the two of "a" one is not called, which is a miss
    assert row["accuracy_all"] == 0.5  # one of each


def test_a_group_of_nothing_but_novel_cells_has_no_scores():
    prediction, _ = made_up(4)
    truth = np.array(["new", "newer", "new", "new"], dtype=object)
    (row,), per_class = score_groups(prediction, CLASSES, truth, np.full(4, "all"), gives_probabilities=True)
    assert np.isnan([row[name] for name in ("accuracy", "macro_f1", "ece", "weighted_accuracy")]).all()
    assert (row["novel"], row["accuracy_all"], per_class) == ("new, newer", 0, [])


def test_what_gives_no_probabilities_has_no_calibration_error():
    prediction, truth = made_up()
    (row,), _ = score_groups(prediction, CLASSES, truth, np.full(60, "all"), gives_probabilities=False)
    assert np.isnan(row["ece"])
    assert row["accuracy"] > 0
