"""Thresholds found without sorting are those of the selectors."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.nn import entmax15, sparsemax
from sims_tools.nn._fast._threshold import threshold


def shares(scores, *, entmax):
    values = (scores - scores.max()) / (2 if entmax else 1)
    above = np.maximum(values - threshold(values[values > -1], entmax, -1.0), 0)
    return above**2 if entmax else above


@pytest.mark.parametrize(("entmax", "selector"), [(False, sparsemax), (True, entmax15)])
@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.sampled_from([1, 2, 3, 10, 100, 3000]),
    spread=st.sampled_from([0.0, 1e-9, 1e-4, 0.01, 0.1, 1.0, 30.0]),
    steps=st.sampled_from([0, 2, 8]),
)
def test_shares_are_those_of_the_sorted_selector(entmax, selector, seed, n, spread, steps):
    scores = np.random.default_rng(seed).standard_normal(n) * spread
    if steps:  # ties
        scores = np.round(scores * steps) / steps
    found = shares(scores, entmax=entmax)
    np.testing.assert_allclose(found, selector(torch.from_numpy(scores)).numpy(), atol=1e-12)
    assert abs(found.sum() - 1) < 1e-12


@pytest.mark.parametrize("entmax", [False, True])
@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(2, 300), spread=st.sampled_from([0.001, 0.1, 1.0]))
def test_the_threshold_of_some_values_bounds_that_of_all(entmax, seed, n, spread):
    values = np.random.default_rng(seed).standard_normal(n) * spread
    values -= values.max()
    some = values[: n // 2 + 1]
    some = some[some > -1]
    if len(some) and some.max() > -1:
        top = some.max()
        bound = threshold(some - top, entmax, -1.0) + top
        assert bound <= threshold(values[values > -1], entmax, -1.0) + 1e-12
