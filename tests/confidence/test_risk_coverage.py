"""Risk against coverage: what must hold for any confidence, by hand, and against every order of equals."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.confidence import risk_coverage_area, risk_coverage_curve

CALLS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=40)
"""Confidence and whether the call is right; ties are frequent."""


def arrays(calls):
    confidence, right = zip(*calls, strict=True)
    return np.array(confidence, dtype=np.float32), np.array(right)


def test_the_curve_by_hand():
    curve = risk_coverage_curve(np.array([0.5, 0.9, 0.7, 0.7, 1.0]), np.array([False, False, True, False, True]))
    assert list(curve) == ["threshold", "n_cells", "coverage", "risk"]
    assert curve["threshold"].tolist() == [1.0, 0.9, 0.7, 0.5]
    assert curve["n_cells"].tolist() == [1, 2, 4, 5]
    np.testing.assert_allclose(curve["coverage"], [0.2, 0.4, 0.8, 1])
    np.testing.assert_allclose(curve["risk"], [0, 0.5, 0.5, 0.6])


def test_the_area_by_hand():
    right = np.array([True, False, True, True])
    assert risk_coverage_area(np.array([4, 3, 2, 1]), right) == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4) / 4)
    assert risk_coverage_area(np.ones(4), right) == pytest.approx(1 / 4)  # it says nothing
    assert risk_coverage_area(right.astype(float), right) == pytest.approx(1 / 4 / 4)  # it says all
    assert risk_coverage_area(np.array([7]), np.array([False])) == 1


@settings(derandomize=True)
@given(CALLS)
def test_laws_of_the_curve(calls):
    confidence, right = arrays(calls)
    curve = risk_coverage_curve(confidence, right)
    assert curve["threshold"].tolist() == sorted(set(confidence.tolist()), reverse=True)
    assert (curve["coverage"].iloc[-1], curve["n_cells"].iloc[-1]) == (1, len(calls))
    assert curve["risk"].iloc[-1] == pytest.approx(1 - right.mean())
    for row in curve.itertuples():
        kept = confidence >= row.threshold
        assert row.n_cells == kept.sum()
        assert row.coverage == pytest.approx(kept.mean())
        assert row.risk == pytest.approx(1 - right[kept].mean())


@settings(derandomize=True)
@given(CALLS, st.randoms(use_true_random=False))
def test_only_the_order_of_the_confidence_counts(calls, random):
    confidence, right = arrays(calls)
    curve, area = risk_coverage_curve(confidence, right), risk_coverage_area(confidence, right)
    assert 0 <= area <= 1
    for changed in (np.exp(confidence / 3), confidence.astype(np.float64) ** 3 - 7):
        other = risk_coverage_curve(changed, right)
        assert other.drop(columns="threshold").equals(curve.drop(columns="threshold"))
        assert risk_coverage_area(changed, right) == area
    order = list(range(len(calls)))
    random.shuffle(order)
    assert risk_coverage_curve(confidence[order], right[order]).equals(curve)
    assert risk_coverage_area(confidence[order], right[order]) == area


@settings(derandomize=True, max_examples=40)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=1, max_size=6))
def test_equals_count_as_the_mean_over_all_their_orders(calls):
    confidence, right = arrays(calls)
    areas = []
    for order in permutations(range(len(calls))):  # the place in the order parts equals, and no others
        areas.append(risk_coverage_area(confidence - np.array(order) / 100, right))
    assert risk_coverage_area(confidence, right) == pytest.approx(np.mean(areas))


@settings(derandomize=True)
@given(CALLS)
def test_no_order_is_better_than_the_truth_or_worse_than_its_opposite(calls):
    confidence, right = arrays(calls)
    best, worst = risk_coverage_area(right.astype(float), right), risk_coverage_area(-right.astype(float), right)
    assert best - 1e-12 <= risk_coverage_area(confidence, right) <= worst + 1e-12


@pytest.mark.parametrize("max_points", [1, 2, 10, 500])
def test_a_thinned_curve_is_part_of_the_whole(max_points):
    rng = np.random.default_rng(0)
    confidence = rng.random(3000)
    right = rng.random(3000) < confidence
    whole = risk_coverage_curve(confidence, right)
    thin = risk_coverage_curve(confidence, right, max_points=max_points)
    assert len(thin) == max_points
    assert thin.merge(whole).equals(thin)
    assert thin.iloc[-1].equals(whole.iloc[-1])
    if max_points > 2:
        assert thin["n_cells"].iloc[0] == 1
        assert thin["coverage"].diff().max() < 1.5 / (max_points - 1)


def test_a_short_curve_is_not_thinned():
    confidence, right = np.array([0.1, 0.2, 0.2]), np.array([True, False, True])
    assert risk_coverage_curve(confidence, right, max_points=2).equals(risk_coverage_curve(confidence, right))


@pytest.mark.parametrize("score", [risk_coverage_curve, risk_coverage_area])
def test_what_has_no_curve(score):
    right = np.array([True, False])
    with pytest.raises(ValueError, match=r"`confidence` has shape \(0,\) and `right` \(0,\); expected \(n_cells,\)"):
        score(np.empty(0), np.empty(0, bool))
    with pytest.raises(ValueError, match=r"`confidence` has shape \(3,\) and `right` \(2,\)"):
        score(np.ones(3), right)
    with pytest.raises(ValueError, match="`right` is of type int64; expected True or False for each cell"):
        score(np.ones(2), np.array([0, 1]))
    with pytest.raises(ValueError, match="`confidence` is NaN in 1 of 2 cells"):
        score(np.array([np.nan, 1]), right)
    with pytest.raises(ValueError, match="`max_points=0` must be a whole number above 0"):
        risk_coverage_curve(np.ones(2), right, max_points=0)
