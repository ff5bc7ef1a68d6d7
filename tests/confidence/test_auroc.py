"""AUROC against scikit-learn and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sims_tools.confidence._auroc import auroc


@pytest.mark.parametrize("seed", range(5))
def test_against_scikit_learn_with_ties(seed):
    rng = np.random.default_rng(seed)
    scores, members = np.maximum(rng.normal(size=50).round(1), 0), rng.random(50) < 0.3
    assert auroc(scores, members) == pytest.approx(roc_auc_score(members, scores))


def test_where_there_is_nothing_to_tell_apart():
    assert np.isnan(auroc(np.ones(3), np.zeros(3, dtype=bool)))
    assert np.isnan(auroc(np.ones(3), np.ones(3, dtype=bool)))
    assert auroc(np.ones(3), np.array([True, False, False])) == 0.5
