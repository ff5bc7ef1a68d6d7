"""Scores of labels against scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from sims_tools.confidence._class_scores import class_scores, confusion_counts, mean_scores

PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=50)
"""True label and call of four classes; a call of 4 is none."""


@settings(derandomize=True)
@given(PAIRS)
def test_they_are_those_of_scikit_learn(pairs):
    true, called = np.array(pairs).T
    table = class_scores(confusion_counts(true, called, 4, 4))
    present = np.unique(true)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parts = metrics.precision_recall_fscore_support(true, called, labels=range(4), zero_division=0)
        means = mean_scores(table)
        assert means["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, called))
    for name, expected in zip(("precision", "recall", "f1", "n_cells"), parts, strict=True):
        np.testing.assert_allclose(table[name].fillna(0), expected, err_msg=name)
    assert (table["precision"].isna() == (table["n_called"] == 0)).all()
    assert (table["recall"].isna() == (table["n_cells"] == 0)).all()
    assert means["accuracy"] == pytest.approx((true == called).mean())
    each = metrics.f1_score(true, called, labels=present, average=None, zero_division=0)
    assert means["macro_f1"] == pytest.approx(each.mean())
    assert means["median_f1"] == pytest.approx(np.median(each))
    assert means["weighted_f1"] == pytest.approx(metrics.f1_score(true, called, average="weighted", zero_division=0))


def test_labels_of_no_class_are_counted_apart():
    table = class_scores(confusion_counts(np.array([0, 1, 2, 3, 3]), np.array([0, 0, 1, 1, 2]), 4, 2))
    assert table["n_cells"].tolist() == [1, 1]
    assert table["n_called"].tolist() == [2, 0]
    assert table["n_novel_called"].tolist() == [0, 2]
    assert table["recall"].tolist() == [1, 0]
