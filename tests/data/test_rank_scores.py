"""Agreement of rankings against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from sims_tools.data._rank_scores import jaccard, spearman, top


def test_top_leaves_out_what_has_no_weight():
    weights = np.array([0.1, 0, 0.5, 0.1, 0])
    assert top(weights, 2).tolist() == [2, 0]
    assert top(weights, 5).tolist() == [2, 0, 3]


def test_jaccard_by_hand():
    assert jaccard(np.array([1, 2, 3]), np.array([3, 4])) == 0.25
    assert jaccard(np.array([1]), np.array([1])) == 1
    assert jaccard(np.array([1]), np.array([], dtype=int)) == 0
    assert np.isnan(jaccard(np.array([]), np.array([])))


@pytest.mark.parametrize("seed", range(5))
def test_against_scipy(seed):
    rng = np.random.default_rng(seed)
    first, second = (np.maximum(rng.normal(size=50).round(1), 0) for _ in range(2))
    assert spearman(first, second) == pytest.approx(spearmanr(first, second).statistic)


def test_masks_that_have_nothing_in_common_are_not_opposed():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(50):
        first, second = np.zeros(1000), np.zeros(1000)
        first[rng.choice(1000, 50, replace=False)] = rng.random(50)
        second[rng.choice(1000, 50, replace=False)] = rng.random(50)
        found.append(spearman(first, second))
    assert abs(np.mean(found)) < 0.02


def test_where_there_is_nothing_to_rank():
    assert spearman(np.ones(3), np.ones(3)) == 1
    assert spearman(np.ones(3), np.array([1.0, 2, 3])) == 0
