"""Ranks of thresholds in exact arithmetic, and sorted scores that stand for more than themselves."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.confidence._quantiles import conformal_rank, shorten, stored_ranks, threshold


@pytest.mark.parametrize("percent", range(1, 100))
def test_the_rank_is_exact(percent):
    """In floating point 10 * (1 - 0.7) is above 3."""
    for n in (*range(1, 120), 999, 12_345):
        exact = math.ceil((n + 1) * (1 - Fraction(percent, 100)))
        assert conformal_rank(n, percent / 100) == max(exact, 1)


@settings(derandomize=True)
@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 40))
def test_shortened_scores_are_evenly_spaced_and_hold_the_largest(scores, limit):
    ordered = np.sort(scores).astype(float)
    kept = shorten(np.array(scores, dtype=float), limit)
    ranks = stored_ranks(len(scores), len(kept))
    assert len(kept) == min(len(scores), limit)
    np.testing.assert_array_equal(kept, ordered[ranks - 1])
    if len(scores):
        steps = np.diff(ranks, prepend=0)
        assert ranks[-1] == len(scores)
        assert steps.min() >= 1
        assert steps.max() - steps.min() <= 1


@settings(derandomize=True)
@given(
    st.lists(st.lists(st.floats(0, 1), max_size=30), min_size=1, max_size=4), st.integers(1, 40), st.floats(0.01, 0.99)
)
def test_the_threshold_of_several_groups(groups, limit, alpha):
    arrays = [np.array(group, dtype=float) for group in groups]
    n_cells = [len(group) for group in groups]
    pooled = np.sort(np.concatenate(arrays))
    rank = conformal_rank(len(pooled), alpha)
    expected = pooled[rank - 1] if rank <= len(pooled) else math.inf
    assert threshold([np.sort(each) for each in arrays], n_cells, alpha) == expected
    short = threshold([shorten(each, limit) for each in arrays], n_cells, alpha)
    assert short >= expected
    beyond = sum(math.ceil(n / min(n, limit)) - 1 for n in n_cells if n)
    if rank + beyond <= len(pooled):
        assert short <= pooled[rank + beyond - 1]
