"""Distance to the nearest neighbours, against scikit-learn, and the balanced choice of cells to keep."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from sims_tools.confidence import NeighbourDistance


@pytest.mark.parametrize("n_neighbours", [1, 5, 2000])
def test_the_distance_is_that_of_scikit_learn(n_neighbours):
    rng = np.random.default_rng(11)
    training, fresh = rng.normal(size=(1500, 7)), rng.normal(size=(1200, 7)) * 100
    found = NeighbourDistance.fit(training, np.zeros(1500, int), n_neighbours=n_neighbours)
    unit = [each / np.linalg.norm(each, axis=1, keepdims=True) for each in (training, fresh)]
    expected, _ = NearestNeighbors(n_neighbors=min(n_neighbours, 1500)).fit(unit[0]).kneighbors(unit[1])
    np.testing.assert_allclose(found.score(fresh), expected[:, -1], atol=1e-3)


@settings(derandomize=True)
@given(st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(any), st.integers(1, 60), st.integers(0, 3))
def test_what_is_kept_is_balanced(counts, limit, seed):
    codes = np.repeat(np.arange(len(counts)), counts)
    embedding = np.column_stack([np.ones(len(codes)), np.arange(len(codes))])  # each cell has its own direction
    found = NeighbourDistance.fit(embedding, codes, max_cells=limit, random_state=seed)
    rows = np.rint(found.stored[:, 1] / found.stored[:, 0]).astype(int)
    kept = np.bincount(codes[rows], minlength=len(counts))
    assert kept.sum() == min(limit, sum(counts))
    assert len(set(rows)) == len(rows)
    short = kept < np.array(counts)
    if short.any():
        assert kept.max() <= kept[short].min() + 1  # nobody else has more than a class that was cut


def test_the_choice_goes_by_the_seed():
    rng = np.random.default_rng(12)
    embedding, codes = rng.normal(size=(500, 4)), rng.integers(0, 3, 500)
    first, same, other = (
        NeighbourDistance.fit(embedding, codes, max_cells=50, random_state=seed).stored for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert first.shape == (50, 4)


@pytest.mark.parametrize("setting", ["n_neighbours", "max_cells"])
def test_settings_of_neighbours(setting):
    with pytest.raises(ValueError, match=f"`{setting}=0` must be a whole number above 0"):
        NeighbourDistance.fit(np.eye(3), np.arange(3), **{setting: 0})
