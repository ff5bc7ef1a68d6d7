"""Logistic regression against scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special
from sklearn.linear_model import LogisticRegression

from sims_tools.confidence._softmax_regression import SoftmaxRegression


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_it_is_logistic_regression(embedded, centres, strength):
    rng = np.random.default_rng(0)
    rows, codes = embedded(400, centres(4, 6, rng) * 0.2, rng)
    unit = rows.astype(float).std(0).max()
    expected = LogisticRegression(C=strength, tol=1e-8, max_iter=2000).fit(rows / unit, codes)
    found = SoftmaxRegression.fit(rows, codes, strength=strength)
    np.testing.assert_allclose(
        special.softmax(found.logits(rows), axis=1), expected.predict_proba(rows / unit), atol=5e-3
    )


def test_units_do_not_matter(embedded, centres):
    rng = np.random.default_rng(1)
    rows, codes = embedded(200, centres(3, 4, rng), rng)
    first, second = (SoftmaxRegression.fit(rows * unit, codes).logits(rows * unit) for unit in (1, 1e-3))
    np.testing.assert_allclose(first, second, rtol=1e-2, atol=1e-2)


def test_one_class_and_columns_without_spread_are_borne():
    found = SoftmaxRegression.fit(np.ones((5, 2)), np.zeros(5, int))
    assert found.logits(np.ones((3, 2))).shape == (3, 1)
    assert np.isfinite(found.logits(np.full((3, 2), 100.0))).all()
