"""Shares of known cells, and how many of them are rejected."""

from __future__ import annotations

import numpy as np
import pytest

from sims_tools.confidence import rejection_threshold
from sims_tools.confidence._known_scores import KnownScores


def test_the_share_below_by_counting():
    known = KnownScores.fit(np.array([3.0, 1.0, 2.0, 2.0]))
    shares = known.share_below(np.array([0.0, 1.0, 1.5, 2.0, 2.5, 3.0]))
    np.testing.assert_allclose(shares, np.array([0, 0, 1, 1, 3, 3]) / 5)


def test_cells_beyond_all_known_ones_keep_their_order():
    known = KnownScores.fit(np.arange(9.0))
    shares = known.share_below(np.array([8.0, 8.001, 9, 20, 1000, 1e6]))
    assert shares[0] == np.float32(0.8)
    assert shares[1] == pytest.approx(0.9, abs=1e-3)
    assert (np.diff(shares) > 0).all()
    assert shares[-1] <= 1


@pytest.mark.parametrize("n", [19, 20, 137, 1999])
@pytest.mark.parametrize("share", [0.05, 0.1, 0.3])
def test_beyond_is_what_the_threshold_says_and_what_the_share_says(n, share):
    rng = np.random.default_rng(n)
    scores, fresh = rng.normal(size=n).astype(np.float32), rng.normal(size=500).astype(np.float32) * 2
    known = KnownScores.fit(scores)
    beyond = known.beyond(fresh, share)
    np.testing.assert_array_equal(beyond, fresh > rejection_threshold(scores, 1 - share))
    np.testing.assert_array_equal(beyond, known.share_below(fresh) >= 1 - share - 1e-6)


def test_many_scores_are_shortened_and_never_reject_more():
    rng = np.random.default_rng(0)
    scores, fresh = rng.normal(size=50_000), rng.normal(size=20_000)
    known = KnownScores.fit(scores)
    assert len(known.scores) == 2000
    exact = fresh > rejection_threshold(scores, 0.95)
    kept = known.beyond(fresh, 0.05)
    assert not (kept & ~exact).any()
    assert 0 <= exact.mean() - kept.mean() < 0.002
    np.testing.assert_array_equal(kept, known.share_below(fresh) >= 0.95)


def test_known_cells_are_rejected_as_often_as_asked_on_average():
    rng = np.random.default_rng(1)
    rejected = []
    for _ in range(400):
        scores = rng.exponential(size=160)
        rejected.append(KnownScores.fit(scores[:60]).beyond(scores[60:], 0.1).mean())
    assert 0.07 < np.mean(rejected) <= 0.1 + 3 * np.std(rejected) / 20


def test_too_few_known_cells_reject_none():
    known = KnownScores.fit(np.arange(18.0))
    assert known.needed(0.05) == 19
    assert not known.beyond(np.array([1e9]), 0.05).any()
    assert KnownScores.fit(np.arange(19.0)).beyond(np.array([1e9]), 0.05).all()
    with pytest.raises(ValueError, match="between 0 and 1"):
        known.beyond(np.zeros(1), 1.0)
