"""Calibration error, Brier score and likelihood, against other implementations and against what is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest
from sklearn.metrics import brier_score_loss, log_loss

from sims_tools.confidence import (
    brier_score,
    calibration_error,
    negative_log_likelihood,
    reliability_table,
    softmax,
)

COLUMNS = ["lower", "upper", "n", "confidence", "accuracy", "accuracy_low", "accuracy_high"]
LOGITS = hnp.arrays(np.float32, st.tuples(st.integers(1, 40), st.integers(2, 6)), elements=st.floats(-8, 8, width=32))


@pytest.mark.parametrize("adaptive", [False, True])
def test_perfect_probabilities_have_an_error_that_goes_to_zero(draw, adaptive):
    errors = []
    for n in (300, 10_000, 300_000):
        logits, codes = draw(n, 6, np.random.default_rng(0), scale=1.5)
        errors.append(calibration_error(softmax(logits), codes, adaptive=adaptive))
        assert errors[-1] < 0.4 * np.sqrt(15 / n)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.003


@pytest.mark.parametrize("adaptive", [False, True])
def test_too_sure_and_too_unsure_show(draw, adaptive):
    logits, codes = draw(20_000, 6, np.random.default_rng(1), scale=1.5)
    right = calibration_error(softmax(logits), codes, adaptive=adaptive)
    assert calibration_error(softmax(logits * 3), codes, adaptive=adaptive) > right + 0.05
    assert calibration_error(softmax(logits / 3), codes, adaptive=adaptive) > right + 0.05


def test_the_table_by_hand():
    prob = np.array([[0.875, 0.125], [0.75, 0.25], [0.375, 0.625], [0.25, 0.75], [1.0, 0.0]])
    codes = np.array([0, 1, 1, 0, 0])
    table = reliability_table(prob, codes, n_bins=4)
    assert list(table) == COLUMNS
    assert table["n"].tolist() == [0, 0, 3, 2]  # an upper edge belongs to its bin
    np.testing.assert_array_equal(table["lower"], [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(table["upper"], [0.25, 0.5, 0.75, 1])
    np.testing.assert_allclose(table["confidence"][2:], [2.125 / 3, 0.9375])
    np.testing.assert_allclose(table["accuracy"][2:], [1 / 3, 1])
    assert table.loc[:1, ["confidence", "accuracy"]].isna().all(axis=None)
    assert (table.loc[:1, "accuracy_low"] == 0).all()
    assert (table.loc[:1, "accuracy_high"] == 1).all()
    assert calibration_error(prob, codes, n_bins=4) == pytest.approx((2.125 - 1) / 5 + (2 - 1.875) / 5)


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_the_interval_is_wilsons(draw, level):
    logits, codes = draw(200, 4, np.random.default_rng(2), scale=1.0)
    table = reliability_table(softmax(logits), codes, n_bins=8, level=level)
    table = table[table["n"] > 0]
    assert len(table) > 3
    for row in table.itertuples():
        hits = round(row.accuracy * row.n)
        low, high = binomtest(hits, row.n).proportion_ci(level, method="wilson")
        assert (row.accuracy_low, row.accuracy_high) == (pytest.approx(low, abs=1e-12), pytest.approx(high, abs=1e-12))


def test_bins_of_equal_mass(draw):
    logits, codes = draw(3000, 6, np.random.default_rng(3), scale=1.0)
    table = reliability_table(softmax(logits), codes, n_bins=10, adaptive=True)
    assert table["n"].between(298, 302).all()
    assert (table["lower"][0], table["upper"][9]) == (0, 1)
    np.testing.assert_array_equal(table["lower"][1:], table["upper"][:-1])


def test_cells_of_the_same_probability_share_a_bin_whatever_their_order():
    prob = np.array([[0.5, 0.5]] * 70 + [[1.0, 0.0]] * 30)
    codes = np.array([0, 1] * 35 + [0] * 30)
    table = reliability_table(prob, codes, n_bins=15, adaptive=True)
    assert table["n"].tolist() == [70, 30]
    assert calibration_error(prob, codes, adaptive=True) == 0
    order = np.random.default_rng(0).permutation(100)
    assert calibration_error(prob[order], codes[order], adaptive=True) == 0


@settings(derandomize=True)
@given(LOGITS, st.integers(1, 20), st.booleans(), st.data())
def test_every_cell_is_in_one_bin_and_scores_stay_in_range(logits, n_bins, adaptive, data):
    prob = softmax(logits)
    codes = data.draw(hnp.arrays(np.int64, len(logits), elements=st.integers(0, logits.shape[1] - 1)))
    table = reliability_table(prob, codes, n_bins=n_bins, adaptive=adaptive)
    assert table["n"].sum() == len(prob)
    assert len(table) <= n_bins if adaptive else len(table) == n_bins
    filled = table[table["n"] > 0]
    assert (filled["lower"] <= filled["confidence"] + 1e-6).all()
    assert (filled["confidence"] <= filled["upper"] + 1e-6).all()
    assert (filled["accuracy_low"] <= filled["accuracy"] + 1e-12).all()
    assert (filled["accuracy"] <= filled["accuracy_high"] + 1e-12).all()
    mean = np.average(filled["accuracy"], weights=filled["n"])
    assert mean == pytest.approx((prob.argmax(1) == codes).mean())
    assert 0 <= calibration_error(prob, codes, n_bins=n_bins, adaptive=adaptive) <= 1
    assert calibration_error(prob, codes, n_bins=1) == pytest.approx(abs(mean - prob.max(1).mean()), abs=1e-6)
    assert 0 <= brier_score(prob, codes) <= 2
    assert 0 <= negative_log_likelihood(prob, codes) < 90


def test_brier_and_likelihood_are_those_of_scikit_learn(draw):
    logits, codes = draw(500, 5, np.random.default_rng(4), scale=1.0)
    prob = softmax(logits)
    np.testing.assert_allclose(negative_log_likelihood(prob, codes), log_loss(codes, prob.astype(float)), rtol=1e-5)
    np.testing.assert_allclose(brier_score(prob, codes), np.mean(np.sum((prob - np.eye(5)[codes]) ** 2, 1)), rtol=1e-6)
    two = softmax(logits[:, :2])
    half = brier_score_loss((codes == 1)[codes < 2], two[codes < 2, 1])
    np.testing.assert_allclose(brier_score(two[codes < 2], codes[codes < 2]), 2 * half, rtol=1e-6)


def test_best_and_worst():
    prob = np.eye(3)
    assert (brier_score(prob, np.arange(3)), negative_log_likelihood(prob, np.arange(3))) == (0, 0)
    assert brier_score(prob, np.array([1, 2, 0])) == 2
    assert negative_log_likelihood(prob, np.array([1, 2, 0])) == pytest.approx(87.34, abs=0.01)
    assert calibration_error(prob, np.array([1, 2, 0])) == 1
    assert calibration_error(prob, np.arange(3)) == 0


@pytest.mark.parametrize("score", [calibration_error, reliability_table, brier_score, negative_log_likelihood])
def test_what_cannot_be_scored(score):
    prob = np.full((2, 4), 0.25)
    with pytest.raises(ValueError, match="There are no cells"):
        score(np.empty((0, 4)), np.empty(0, int))
    with pytest.raises(ValueError, match=r"`prob` has 1 of 2 rows that are no probabilities \(cell 1: .* sum 2\)"):
        score(np.array([[0.5, 0.5], [1.0, 1.0]]), np.array([0, 1]))
    with pytest.raises(ValueError, match=r"cell 0: smallest -1, sum 1\).*Pass `softmax\(logits\)`"):
        score(np.array([[2.0, -1.0]]), np.array([0]))
    with pytest.raises(ValueError, match="`prob` is NaN in 1 of 1 cells"):
        score(np.array([[np.nan, 1.0]]), np.array([0]))
    with pytest.raises(ValueError, match=r"\(cell 1: 4\); expected 0 to 3. Leave out cells that carry no label"):
        score(prob, np.array([3, 4]))


def test_bins_and_levels_that_make_no_sense():
    prob, codes = np.full((2, 4), 0.25), np.array([0, 1])
    with pytest.raises(ValueError, match="`n_bins=0` must be a whole number above 0"):
        calibration_error(prob, codes, n_bins=0)
    with pytest.raises(ValueError, match="`level=1` must be a share between 0 and 1, both excluded"):
        reliability_table(prob, codes, level=1)
