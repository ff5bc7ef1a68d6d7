"""Labels of any type become codes and class names."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest

from sims_tools.data._labels import Labels, check_classes, encode_labels
from sims_tools.data._reference import report_classes


def read(values: object, unlabeled: str | None = "Unknown", dtype: object = None) -> tuple[list[str], list[int]]:
    labels = encode_labels(pd.Series(values, dtype=dtype, name="cell_type"), unlabeled)
    assert labels.codes.dtype == np.int64
    assert labels.classes.dtype == object
    assert all(type(name) is str for name in labels.classes)
    counts = np.bincount(labels.codes[labels.codes >= 0], minlength=len(labels.classes))
    np.testing.assert_array_equal(labels.counts, counts)
    assert (counts > 0).all()
    np.testing.assert_array_equal(labels.labelled, np.flatnonzero(labels.codes >= 0))
    return list(labels.classes), list(labels.codes)


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_strings_of_any_type_in_alphabetical_order(dtype):
    assert read(["T", "B", "NK", "B"], dtype=dtype) == (["B", "NK", "T"], [2, 0, 1, 0])


TEXT = [object, "string", "category", *(["str"] if pd.__version__ >= "3" else [])]


@pytest.mark.parametrize("dtype", TEXT)
@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_missing_labels_are_no_label(dtype, missing):
    values = pd.Series(["T", missing, "B", "Unknown"], dtype=object)
    assert read(values.astype(dtype)) == (["B", "T"], [1, -1, 0, -1])


def test_categories_keep_their_order_and_lose_the_unused():
    values = pd.Categorical(["T", "B", "T"], categories=["NK", "T", "Unknown", "B", "mono"])
    assert read(values) == (["T", "B"], [0, 1, 0])
    ordered = pd.Categorical(["hi", "lo", "mid"], categories=["lo", "mid", "hi"], ordered=True)
    assert read(ordered) == (["lo", "mid", "hi"], [2, 0, 1])


def test_the_order_does_not_hang_on_where_the_unlabelled_are():
    assert read(["a", "Unknown", "z", "B"]) == (["B", "a", "z"], [1, -1, 2, 0])
    assert read(["a", "~none", "z", "B"], "~none") == (["B", "a", "z"], [1, -1, 2, 0])


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "Int64"])
def test_whole_numbers_in_numerical_order(dtype):
    assert read([10, 9, 100, 9], dtype=dtype) == (["9", "10", "100"], [1, 0, 2, 0])


@pytest.mark.parametrize("unlabeled", ["-1", -1], ids=repr)
@pytest.mark.parametrize("dtype", ["int64", "float64", "float32", "category", object, "Int64"])
def test_numbers_whose_unlabelled_category_is_a_string(dtype, unlabeled):
    classes, codes = read([3, -1, 4], unlabeled, dtype)
    assert codes == [0, -1, 1]
    assert [float(name) for name in classes] == [3, 4]


def test_floats_and_nan():
    assert read([0.5, np.nan, 2.0, 0.5]) == (["0.5", "2.0"], [0, -1, 1, 0])
    assert read(pd.array([1, None, 2], dtype="Int64")) == (["1", "2"], [0, -1, 1])


@pytest.mark.parametrize("dtype", [bool, object, "boolean"])
def test_booleans(dtype):
    assert read([True, False, True], dtype=dtype) == (["False", "True"], [1, 0, 1])


def test_mixed_types():
    classes, codes = read([1, "a", 2.5, None], dtype=object)
    assert sorted(classes) == ["1", "2.5", "a"]
    assert codes[3] == -1
    assert [classes[code] for code in codes[:3]] == ["1", "a", "2.5"]


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_string_is_no_label(empty):
    assert read(["T", empty, "B"]) == (["B", "T"], [1, -1, 0])
    assert read(["T", empty, "B"], None) == (["B", "T"], [1, -1, 0])


def test_no_unlabelled_category():
    assert read(["T", "Unknown", "B"], None) == (["B", "T", "Unknown"], [1, 2, 0])
    assert read(["T", "None", "B"], None) == (["B", "None", "T"], [2, 1, 0])


def test_only_the_exact_name_is_unlabelled():
    assert read(["unknown", "Unknown ", "Unknown"]) == (["Unknown ", "unknown"], [1, 0, -1])


@pytest.mark.parametrize("values", [[], [None, None], ["Unknown"], [np.nan]])
def test_nothing_labelled(values):
    assert read(pd.Series(values, dtype=object)) == ([], [-1] * len(values))


def test_the_column_is_left_alone():
    column = pd.Series(pd.Categorical(["a", "Unknown", ""], categories=["", "Unknown", "a", "b"]))
    before = column.copy()
    encode_labels(column, "Unknown")
    pd.testing.assert_series_equal(column, before)


def test_taking_cells_out_takes_empty_classes_out():
    labels = Labels(np.array([0, 1, 2, 1, -1]), np.array(["a", "b", "c"], dtype=object))
    rest = labels.without(np.array([0]))
    assert list(rest.classes) == ["b", "c"]
    assert list(rest.codes) == [-1, 0, 1, 0, -1]
    assert list(labels.codes) == [0, 1, 2, 1, -1]
    assert list(labels.without(np.array([], dtype=int)).codes) == [0, 1, 2, 1, -1]
    assert list(labels.without(np.arange(5)).classes) == []


@pytest.mark.parametrize(
    ("values", "found"),
    [(["B", "B", None], "has only 'B' among 3 cells"), ([None, "Unknown"], "has no label at all among 2 cells")],
)
def test_fewer_than_two_classes(values, found):
    with pytest.raises(ValueError, match=rf"obs\['kind'\]` {found}.*at least two classes.*unlabeled_category="):
        check_classes(encode_labels(pd.Series(values, dtype=object), "Unknown"), "kind")


def test_labels_that_read_the_same_as_text():
    with pytest.raises(ValueError, match=r"obs\['kind'\]` holds labels that read the same as text: '1'"):
        check_classes(encode_labels(pd.Series([1, "1", "a"], dtype=object), None), "kind")


def test_what_is_reported(caplog):
    values = ["big"] * 300 + ["small"] * 3 + ["one", "nan", "nan"] + [None] * 4
    with caplog.at_level(logging.INFO, "sims_tools"):
        report_classes(encode_labels(pd.Series(values, dtype=object), "Unknown"), "kind")
    assert "4 of 310 cells carry no label" in caplog.text
    assert "Classes of one cell train but cannot be validated: one." in caplog.text
    assert "heavily imbalanced: 300 cells of 'big', 1 of 'one'" in caplog.text
    assert "Class 'nan' looks like missing labels: if so, pass `unlabeled_category='nan'`" in caplog.text


def test_nothing_is_reported_of_tidy_labels(caplog):
    with caplog.at_level(logging.INFO, "sims_tools"):
        report_classes(encode_labels(pd.Series(["a", "b"] * 20), "Unknown"), "kind")
    assert not caplog.records
