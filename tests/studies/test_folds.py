"""Every labelled cell is tested once, groups stay whole, fractions grow, and test cells never train."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.data._labels import Labels, encode_labels
from sims_tools.studies._folds import make_folds, nested_fractions


def labels_of(values: list[str]) -> Labels:
    return encode_labels(pd.Series(values), "Unknown")


USUAL = labels_of(["a"] * 30 + ["b"] * 20 + ["Unknown"] * 5 + ["c"] * 7)
NO_FOLDS = {"n_folds": None, "train_groups": None, "random_state": 0}


@st.composite
def some_labels(draw: st.DrawFn) -> Labels:
    sizes = draw(st.lists(st.integers(1, 30), min_size=2, max_size=5))
    names = [f"class {code}" for code, size in enumerate(sizes) for _ in range(size)] + ["Unknown"] * 3
    return labels_of(draw(st.permutations(names)))


@settings(max_examples=50, deadline=None)
@given(some_labels(), st.integers(2, 6), st.integers(0, 5))
def test_each_labelled_cell_is_tested_once_and_trains_in_every_other_fold(labels, n_folds, seed):
    if labels.counts.max() < n_folds or np.sort(labels.counts)[-2] < 2:  # two classes must be left to train on
        return
    folds = make_folds(labels, None, n_folds=n_folds, train_groups=None, random_state=seed)
    assert len(folds) == n_folds
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), labels.labelled)
    for fold in folds:
        np.testing.assert_array_equal(np.sort(np.concatenate([fold.train, fold.test])), labels.labelled)
        in_test = np.bincount(labels.codes[fold.test], minlength=len(labels.classes))
        assert (np.abs(in_test - labels.counts / n_folds) <= 1).all()


@settings(max_examples=50, deadline=None)
@given(some_labels(), st.lists(st.floats(0.01, 1), min_size=1, max_size=4), st.integers(0, 5))
def test_fractions_are_nested_and_their_test_cells_stay(labels, fractions, seed):
    if labels.counts.max() < 5:
        return
    folds = nested_fractions(labels, fractions, n_repeats=2, test_size=0.3, random_state=seed)
    for repeat in (0, 1):
        of_repeat = [fold for fold in folds if fold.repeat == repeat]
        assert [fold.fraction for fold in of_repeat] == sorted(set(fractions))
        assert {fold.seed for fold in of_repeat} == {seed + repeat}
        for smaller, larger in zip(of_repeat, of_repeat[1:], strict=False):
            assert np.isin(smaller.train, larger.train).all()
        for fold in of_repeat:
            np.testing.assert_array_equal(fold.test, of_repeat[0].test)
            assert not np.isin(fold.train, fold.test).any()
            assert set(labels.codes[fold.train]) == set(range(len(labels.classes)))


def test_all_training_cells_train_at_a_fraction_of_one_and_classes_keep_their_proportion():
    half, whole = nested_fractions(USUAL, [0.5, 1], n_repeats=1, test_size=0.2, random_state=0)
    np.testing.assert_array_equal(np.sort(np.concatenate([whole.train, whole.test])), USUAL.labelled)
    np.testing.assert_array_equal(np.bincount(USUAL.codes[whole.train]), [24, 16, 6])
    np.testing.assert_array_equal(np.bincount(USUAL.codes[half.train]), [12, 8, 3])


def test_a_group_is_held_out_whole():
    groups = pd.Series(np.resize(["x", "y", "z"], 62), name="donor")
    folds = make_folds(USUAL, groups, **NO_FOLDS)
    assert [fold.name for fold in folds] == ["x", "y", "z"]
    for fold in folds:
        assert set(groups[fold.test]) == {fold.name} == set(fold.groups)
        assert fold.name not in set(groups[fold.train])
    np.testing.assert_array_equal(np.sort(np.concatenate([fold.test for fold in folds])), USUAL.labelled)


def test_groups_are_dealt_out_to_folds():
    groups = pd.Series(np.resize(list("uvwxyz"), 62), name="donor")
    folds = make_folds(USUAL, groups, **{**NO_FOLDS, "n_folds": 3})
    held = [set(groups[fold.test]) for fold in folds]
    assert len(folds) == 3
    assert set.union(*held) == set("uvwxyz")
    assert sum(map(len, held)) == 6
    for fold, names in zip(folds, held, strict=True):
        assert not names & set(groups[fold.train])
        np.testing.assert_array_equal(fold.groups, groups[fold.test])


def test_one_model_may_train_on_a_group_and_be_tested_on_the_others():
    groups = pd.Series(np.resize([1, 2, 3], 62), name="plate")  # groups of any type
    (fold,) = make_folds(USUAL, groups, **{**NO_FOLDS, "train_groups": [2]})
    assert set(groups[fold.train]) == {2}
    assert set(fold.groups) == {"1", "3"}


@pytest.mark.parametrize(
    ("groups", "how", "message"),
    [
        (None, {"n_folds": 1}, "at least 2"),
        (None, {"n_folds": 31}, "at most 30"),
        (None, {"n_folds": 2.5}, "whole number"),
        (None, {"train_groups": ["x"]}, "groupby"),
        (["x"] * 62, {}, "one group only"),
        ([None] + ["x", "y"] * 30 + ["x"], {}, "NaN for 1"),
        (["x", "y"] * 31, {"n_folds": 3}, "at most the 2 groups"),
        (["x", "y"] * 31, {"train_groups": ["w"]}, "not one of 'x', 'y'"),
        (["x", "y"] * 31, {"train_groups": ["x", "y"]}, "to train and to test"),
        (["x", "y"] * 31, {"train_groups": ["x"], "n_folds": 2}, "leave out `n_folds`"),
        (["x"] * 30 + ["y"] * 32, {}, "only 'a' would train"),
    ],
)
def test_what_cannot_be_divided_is_said(groups, how, message):
    column = None if groups is None else pd.Series(groups, name="donor")
    with pytest.raises(ValueError, match=message):
        make_folds(USUAL, column, **{**NO_FOLDS, **how})


@pytest.mark.parametrize(
    "how", [{"fractions": []}, {"fractions": [0]}, {"fractions": [1.5]}, {"n_repeats": 0}, {"n_repeats": None},
            {"test_size": 0}, {"test_size": 1}, {"test_size": 0.001}],
)  # fmt: skip
def test_shares_out_of_range_are_refused(how):
    usual = {"fractions": [0.5], "n_repeats": 1, "test_size": 0.2, "random_state": 0}
    with pytest.raises(ValueError, match=next(iter(how))):
        nested_fractions(USUAL, **{**usual, **how})


def test_rare_classes_are_told(caplog):
    make_folds(labels_of(["a"] * 10 + ["b"] * 10 + ["c"]), None, **{**NO_FOLDS, "n_folds": 5})
    assert "'c'" in caplog.text
