"""Probabilities from logits; calls, runners-up and restrictions from probabilities."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from sims_tools.confidence import call_labels, restrict, runners_up, softmax

CLASSES = np.array(["B cell", "CD4 T", "CD8 T", "NK"], dtype=object)
SHAPES = st.tuples(st.integers(0, 8), st.integers(1, 12))


@settings(derandomize=True)
@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-(2.0**100), 2.0**100, width=32)))
def test_rows_sum_to_one_whatever_the_logits(logits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prob = softmax(logits)
    assert prob.dtype == np.float32
    assert prob.shape == logits.shape
    assert ((prob >= 0) & (prob <= 1)).all()
    np.testing.assert_allclose(prob.sum(1), 1, atol=1e-6)


@settings(derandomize=True)
@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-50, 50, width=32)))
def test_it_is_the_softmax(logits):
    np.testing.assert_allclose(softmax(logits), special.softmax(logits.astype(float), axis=1), rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(softmax(logits + 3), softmax(logits), rtol=1e-4, atol=1e-7)


def test_extreme_and_overflowed_logits():
    logits = np.array([[1e38, -1e38, 0], [-1e38, -1e38, -1e38], [np.inf, 0, np.inf], [-np.inf, 0, 0]], np.float32)
    expected = np.array([[1, 0, 0], [1 / 3, 1 / 3, 1 / 3], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-6)


def test_half_precision_and_read_only_input():
    logits = np.array([[1, 2, 3]], dtype=np.float16)
    logits.flags.writeable = False
    np.testing.assert_allclose(softmax(logits, np.array([True, True, False]))[0, 2], 0)
    np.testing.assert_array_equal(logits, [[1, 2, 3]])
    double = np.array([[1.0, 2, 3]])
    softmax(double, np.array([True, False, True]))
    np.testing.assert_array_equal(double, [[1, 2, 3]])


def test_only_allowed_classes_share_the_probability():
    logits = np.array([[5.0, 1.0, 1.0], [0.0, 0.0, 9.0]])
    prob = softmax(logits, np.array([False, True, True]))
    assert (prob[:, 0] == 0).all()
    np.testing.assert_allclose(prob[0], [0, 0.5, 0.5])
    np.testing.assert_allclose(prob.sum(1), 1)
    full = softmax(logits)
    np.testing.assert_allclose(prob[:, 1:], full[:, 1:] / full[:, 1:].sum(1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(softmax(logits, np.array([False, True, False]))[:, 1], [1, 1])


@pytest.mark.parametrize(
    "wanted",
    [
        ["NK", "B cell"],
        ("B cell", "NK", "NK"),
        {"NK", "B cell"},
        np.array(["NK", "B cell"]),
        pd.Index(["NK", "B cell"]),
    ],
)
def test_restrict_to_any_list_of_names(wanted):
    np.testing.assert_array_equal(restrict(CLASSES, wanted), [True, False, False, True])


def test_restrict_to_a_series_and_to_categories():
    assert restrict(CLASSES, pd.Series(["NK"])).tolist() == [False, False, False, True]
    assert restrict(CLASSES, pd.Categorical(["NK", "NK"])).tolist() == [False, False, False, True]


def test_one_name_is_one_class():
    np.testing.assert_array_equal(restrict(CLASSES, "NK"), [False, False, False, True])
    np.testing.assert_array_equal(restrict(np.array(["N", "K", "NK"]), "NK"), [False, False, True])


def test_numbers_are_names():
    np.testing.assert_array_equal(restrict(np.array(["1", "2", "10"]), [1, 10]), [True, False, True])


def test_what_cannot_be_restricted_to():
    with pytest.raises(ValueError, match=r"'nk', 'DC' not among the model's classes; it knows 'B cell', 'CD4 T'"):
        restrict(CLASSES, ["nk", "B cell", "DC", "nk"])
    with pytest.raises(ValueError, match=r"'CD4 T cell' not among .* Did you mean 'CD4 T'\?"):
        restrict(CLASSES, "CD4 T cell")
    with pytest.raises(ValueError, match="no class is named; it knows 'B cell'"):
        restrict(CLASSES, [])
    with pytest.raises(TypeError, match="`classes=3` is of type int; expected a list of class names"):
        restrict(CLASSES, 3)


def test_many_classes_are_not_all_listed():
    with pytest.raises(ValueError, match=r"\.\.\. \(500 in all\)") as error:
        restrict(np.array([f"class {i}" for i in range(500)]), ["x"])
    assert len(str(error.value)) < 1500


PROB = np.array([[0.1, 0.6, 0.3], [0.4, 0.2, 0.4], [0.2, 0.2, 0.6]], dtype=np.float32)
NONE = np.zeros(3, dtype=bool)


def test_the_most_probable_class_is_called():
    calls = call_labels(PROB, uncalled=NONE)
    assert calls.codes.tolist() == [1, 0, 2]  # a tie goes to the first class
    assert calls.confidence.dtype == np.float32
    np.testing.assert_array_equal(calls.confidence, PROB.max(1))


@pytest.mark.parametrize(
    ("least", "codes"), [(None, [1, 0, 2]), (0, [1, 0, 2]), (0.5, [1, 3, 2]), (0.6, [1, 3, 2]), (1, [3, 3, 3])]
)
def test_weak_calls_are_not_made(least, codes):
    calls = call_labels(PROB, uncalled=NONE, min_confidence=least)
    assert calls.codes.tolist() == codes
    np.testing.assert_array_equal(calls.confidence, PROB.max(1))  # it still says how weak


def test_the_limit_itself_is_called_whatever_its_type():
    for limit in (0.6, np.float64(0.6), np.float32(0.6)):
        assert call_labels(PROB, uncalled=NONE, min_confidence=limit).codes.tolist() == [1, 3, 2]


def test_uncalled_cells_are_not_called_however_sure():
    uncalled = np.array([True, False, False])
    assert call_labels(PROB, uncalled=uncalled).codes.tolist() == [3, 0, 2]
    assert call_labels(PROB, uncalled=uncalled, min_confidence=0.5).codes.tolist() == [3, 3, 2]
    assert uncalled.tolist() == [True, False, False]


def test_no_cells():
    calls = call_labels(np.empty((0, 3), np.float32), uncalled=np.empty(0, bool), min_confidence=0.5)
    assert calls.codes.shape == calls.confidence.shape == (0,)
    codes, prob = runners_up(np.empty((0, 3), np.float32), 2)
    assert codes.shape == prob.shape == (0, 1)


def test_runners_up_follow_the_call_in_order():
    codes, prob = runners_up(PROB, 3)
    assert codes.tolist() == [[2, 0], [2, 1], [0, 1]]
    np.testing.assert_array_equal(prob, PROB[np.arange(3)[:, None], codes])
    assert (codes[:, 0] != call_labels(PROB, uncalled=NONE).codes).all()


def test_classes_that_were_not_considered_are_no_runners_up():
    allowed = np.array([False, True, True])
    prob = softmax(np.log(PROB), allowed)
    codes, values = runners_up(prob, 3, allowed)
    assert codes.tolist() == [[2, -1], [1, -1], [1, -1]]
    assert (values[:, 1] == 0).all()
    assert values.dtype == np.float32


def test_the_first_rank_alone_has_no_runner_up():
    codes, prob = runners_up(PROB, 1)
    assert codes.shape == prob.shape == (3, 0)


@settings(derandomize=True)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=st.floats(0, 1, width=32)),
    st.data(),
)
def test_call_and_runners_up_are_a_descending_order_of_the_classes(prob, data):
    top_k = data.draw(st.integers(1, prob.shape[1]))
    first = call_labels(prob, uncalled=np.zeros(len(prob), bool)).codes[:, None]
    codes, values = runners_up(prob, top_k)
    ranking = np.hstack([first, codes])
    assert ranking.shape == (len(prob), top_k)
    assert all(len(set(row)) == top_k for row in ranking)
    ranked = np.take_along_axis(prob, ranking, axis=1)
    assert (np.diff(ranked, axis=1) <= 0).all()
    np.testing.assert_array_equal(ranked[:, 1:], values)
