"""Energy of the logits, and thresholds that keep the wanted share of known cells."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special
from sklearn.metrics import roc_auc_score

from sims_tools.confidence import Energy, rejection_threshold


def auroc(known: np.ndarray, novel: np.ndarray) -> float:
    return roc_auc_score(np.repeat([0, 1], [len(known), len(novel)]), np.concatenate([known, novel]))


def test_cells_that_no_class_claims_have_more_energy():
    rng = np.random.default_rng(13)
    known = rng.normal(size=(400, 6))
    known[np.arange(400), rng.integers(0, 6, 400)] += 9
    novel = rng.normal(size=(400, 6))
    assert auroc(Energy().score(known), Energy().score(novel)) > 0.99
    assert auroc(Energy().score(novel[:200]), Energy().score(novel[200:])) == pytest.approx(0.5, abs=0.07)


@settings(derandomize=True)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(0, 6), st.integers(1, 6)), elements=st.floats(-99, 99, width=32)),
    st.sampled_from([0.5, 1.0, 3.0]),
)
def test_it_is_the_energy(logits, temperature):
    found = Energy(temperature).score(logits)
    assert found.dtype == np.float32
    expected = -temperature * special.logsumexp(logits.astype(float) / temperature, axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_overflowed_logits_have_an_energy():
    assert np.isfinite(Energy().score(np.array([[np.inf, 0], [-np.inf, -np.inf]]))).all()


def test_energy_is_stored_and_checked():
    again = Energy.from_arrays(Energy(0.7).to_arrays())
    assert again == Energy(0.7)
    assert json.dumps(again.temperature) == "0.7"
    with pytest.raises(ValueError, match="`temperature=0` must be above 0"):
        Energy(0)
    with pytest.raises(ValueError, match="`logits` is NaN in 1 of 1 cells"):
        Energy().score(np.array([[np.nan, 0]]))


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.sampled_from([0.5, 0.8, 0.9, 0.95, 0.99]), st.integers(100, 400))
def test_the_wanted_share_of_fresh_known_cells_is_kept(coverage, n):
    rng = np.random.default_rng(14)
    kept = []
    for _ in range(300):
        threshold = rejection_threshold(rng.gamma(2, size=n).astype(np.float32), coverage)
        kept.append((rng.gamma(2, size=300).astype(np.float32) <= threshold).mean())
    assert coverage - 0.01 <= np.mean(kept) <= coverage + 1 / (n + 1) + 0.01


def test_the_rank_of_the_threshold():
    scores = np.arange(19, dtype=np.float32)[::-1]
    assert rejection_threshold(scores, 0.95) == 18
    assert rejection_threshold(scores, 0.9) == 17
    assert rejection_threshold(scores, 0.5) == 9
    assert rejection_threshold(scores, 0.96) == float("inf")  # it would take 24 cells
    assert rejection_threshold(np.ones(30), 0.9) == 1  # ties are kept
    assert scores[0] == 18


def test_scores_near_the_threshold_compare_in_their_own_type():
    scores = np.random.default_rng(15).normal(size=99).astype(np.float32)
    assert (scores <= rejection_threshold(scores, 0.9)).sum() == 90


def test_what_makes_no_threshold():
    for share in (0, 1, 95):
        with pytest.raises(ValueError, match=f"`coverage={share}` must be a share between 0 and 1, both excluded"):
            rejection_threshold(np.ones(3), share)
    with pytest.raises(ValueError, match=r"`scores` has shape \(0,\); expected \(n_cells,\), one score for each known"):
        rejection_threshold(np.empty(0), 0.9)
    with pytest.raises(ValueError, match=r"`scores` has shape \(1, 2\)"):
        rejection_threshold(np.ones((1, 2)), 0.9)
    with pytest.raises(ValueError, match="`scores` is NaN in 1 of 2 cells"):
        rejection_threshold(np.array([1, np.nan]), 0.9)
