"""Medians over nearest cells, and their say in a cell's value."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.confidence._with_neighbors import SHARE, local_median, with_neighbors


def cells(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n).astype(np.float32), rng.standard_normal((n, 3)).astype(np.float32)


def by_hand(values: np.ndarray, places: np.ndarray, n_nearest: int) -> np.ndarray:
    apart = ((places[:, None].astype(float) - places[None]) ** 2).sum(2)
    return np.median(values[np.argsort(apart, axis=1)[:, :n_nearest]], axis=1)


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 60), n_nearest=st.integers(1, 20), seed=st.integers(0, 9))
def test_medians_over_the_nearest(n, n_nearest, seed):
    values, places = cells(n, seed)
    found = local_median(values, places, n_nearest)
    np.testing.assert_allclose(found, by_hand(values, places, min(n, n_nearest)), rtol=1e-6)
    assert found.dtype == values.dtype
    order = np.random.default_rng(seed).permutation(n)
    np.testing.assert_array_equal(local_median(values[order], places[order], n_nearest), found[order])


def test_of_many_cells_some_are_looked_among_and_each_counts_itself():
    values, places = cells(400)
    np.testing.assert_array_equal(local_median(values, places, 1, most=50), values)
    far = places.copy()
    far[200:] += 100  # two populations
    found = local_median(np.repeat(np.float32([0, 1]), 200), far, 5, most=50)
    np.testing.assert_array_equal(found, np.repeat([0, 1], 200))


def test_other_groups_have_no_say():
    values, places = cells(60)
    groups = np.arange(60) % 2
    found = with_neighbors(values, places, groups)
    for group in (0, 1):
        own = groups == group
        expected = SHARE * local_median(values[own], places[own]) + (1 - SHARE) * values[own]
        np.testing.assert_allclose(found[own], expected, rtol=1e-6)
    assert found.dtype == np.float32


def test_no_cells():
    assert with_neighbors(*cells(0), np.zeros(0, dtype=int)).shape == (0,)


def test_one_odd_cell_has_no_say():
    values, places = cells(100)
    values[:] = 0
    values[7] = 1e6
    assert local_median(values, places).max() == pytest.approx(0)
