"""Scores from a confusion matrix are scikit-learn's."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from sims_tools.models._metrics import SCORES, scores_from_confusion

N_CLASSES = 5

labels = st.lists(
    st.tuples(st.integers(0, N_CLASSES - 1), st.integers(0, N_CLASSES - 1)), min_size=1, max_size=40
) | st.lists(st.tuples(st.sampled_from([1, 3]), st.sampled_from([1, 2, 3])), min_size=1, max_size=12)


def ours(true: np.ndarray, called: np.ndarray) -> dict[str, float]:
    table = np.zeros((N_CLASSES, N_CLASSES), dtype=np.int64)
    np.add.at(table, (true, called), 1)
    return {name: float(value) for name, value in scores_from_confusion(torch.from_numpy(table)).items()}


def theirs(true: np.ndarray, called: np.ndarray) -> dict[str, float]:
    """Over the classes that occur, true or called; a ratio without cases is zero."""
    options = {"zero_division": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        f1 = metrics.f1_score(true, called, average=None, **options)
        tables = metrics.multilabel_confusion_matrix(true, called)
        negatives = tables[:, 0].sum(1)
        specificity = np.where(negatives > 0, tables[:, 0, 0] / np.maximum(negatives, 1), 0)
        return {
            "accuracy": metrics.accuracy_score(true, called),
            "balanced_accuracy": metrics.balanced_accuracy_score(true, called),
            "macro_f1": metrics.f1_score(true, called, average="macro", **options),
            "weighted_f1": metrics.f1_score(true, called, average="weighted", **options),
            "median_f1": float(np.median(f1)),
            "macro_precision": metrics.precision_score(true, called, average="macro", **options),
            "macro_recall": metrics.recall_score(true, called, average="macro", **options),
            "macro_specificity": float(specificity.mean()),
        }


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(pairs=labels)
def test_scores_are_those_of_scikit_learn(pairs):
    true, called = np.array(pairs).T
    expected, found = theirs(true, called), ours(true, called)
    assert set(found) == set(SCORES) == set(expected)
    for name in SCORES:
        assert found[name] == pytest.approx(expected[name], abs=1e-12), name


def test_a_perfect_and_a_useless_classifier():
    cells = np.array([0, 0, 1, 2, 4])
    assert set(ours(cells, cells).values()) == {1.0}
    assert {ours(cells, (cells + 1) % 5)[name] for name in ("accuracy", "macro_f1", "median_f1")} == {0.0}


def test_no_cells_at_all():
    scores = scores_from_confusion(torch.zeros(3, 3, dtype=torch.int64))
    assert all(float(value) == 0 for value in scores.values())


def test_scores_are_scalars_in_double_precision():
    for value in scores_from_confusion(torch.eye(3, dtype=torch.int64)).values():
        assert value.shape == ()
        assert value.dtype == torch.float64
