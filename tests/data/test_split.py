"""Laws of the split into training and validation cells."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sims_tools.data._split import grouped_split, random_split, split_column, stratified_split

CODES = st.lists(st.integers(-1, 5), min_size=1, max_size=150).map(np.array)
SHARES = st.floats(0, 0.99)


def is_a_split(codes: np.ndarray, train: np.ndarray, validation: np.ndarray) -> None:
    """Sorted, disjoint, labelled cells all, and no class without a training cell."""
    for cells in (train, validation):
        assert cells.dtype == np.int64
        assert (np.diff(cells) > 0).all()
    np.testing.assert_array_equal(np.union1d(train, validation), np.flatnonzero(codes >= 0))
    assert len(train) + len(validation) == (codes >= 0).sum()
    assert set(codes[train]) == set(codes[codes >= 0])


@settings(deadline=None, derandomize=True)
@given(codes=CODES, share=SHARES, seed=st.integers(0, 2**32 - 1))
def test_every_class_is_split_to_within_one_cell(codes, share, seed):
    train, validation = stratified_split(codes, share, seed)
    is_a_split(codes, train, validation)
    for code in set(codes[codes >= 0]):
        n, held = (codes == code).sum(), (codes[validation] == code).sum()
        assert held < n
        assert abs(held - share * n) <= 0.5 or held == n - 1
        if n == 1:
            assert held == 0


def test_the_share_is_met():
    codes = np.repeat([0, 1, 2, -1], [1000, 100, 10, 50])
    _, validation = stratified_split(codes, 0.1, 0)
    assert list(np.bincount(codes[validation])) == [100, 10, 1]


def test_seeds():
    codes = np.random.default_rng(0).integers(-1, 4, 500)
    first, again, other = (stratified_split(codes, 0.2, seed)[1] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    stratified_split(codes, 0.2, None)
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_share_zero_trains_on_everything():
    codes = np.array([0, 1, -1, 1])
    train, validation = stratified_split(codes, 0, 0)
    assert list(train) == [0, 1, 3]
    assert validation.size == 0
    train, validation = grouped_split(codes, pd.Series(["a", "b", "a", "a"]), 0, 0)
    assert list(train) == [0, 1, 3]
    assert validation.size == 0


@pytest.mark.parametrize("codes", [[], [-1, -1]])
def test_nothing_labelled(codes):
    train, validation = stratified_split(np.array(codes, dtype=int), 0.2, 0)
    assert train.size == validation.size == 0


@settings(deadline=None, derandomize=True)
@given(data=st.data())
def test_groups_are_held_out_whole(data):
    codes = data.draw(CODES)
    assume((codes >= 0).any())
    groups = data.draw(st.lists(st.sampled_from("abcde"), min_size=len(codes), max_size=len(codes)))
    share, seed = data.draw(st.floats(0.01, 0.99)), data.draw(st.integers(0, 1000))
    column = pd.Series(groups, name="donor")
    table = pd.crosstab(column[codes >= 0], codes[codes >= 0]) > 0
    each_has_a_class_of_its_own = table.loc[:, table.sum() == 1].any(axis=1).all()
    if len(table) == 1 or each_has_a_class_of_its_own:
        with pytest.raises(ValueError, match="one group only|can be held out"):
            grouped_split(codes, column, share, seed)
        return
    train, validation = grouped_split(codes, column, share, seed)
    is_a_split(codes, train, validation)
    assert validation.size
    assert not set(column[train]) & set(column[validation])


def donors(n_each: int = 100, n_groups: int = 8) -> tuple[np.ndarray, pd.Series]:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, n_each * n_groups)
    return codes, pd.Series(np.repeat([f"d{i}" for i in range(n_groups)], n_each), name="donor")


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_groups_make_up_the_share(share):
    codes, groups = donors()
    _, validation = grouped_split(codes, groups, share, 0)
    assert share <= len(validation) / len(codes) < share + 1 / 8


def test_seeds_draw_the_groups():
    codes, groups = donors()
    drawn = [tuple(grouped_split(codes, groups, 0.1, seed)[1]) for seed in range(8)]
    assert drawn[3] == tuple(grouped_split(codes, groups, 0.1, 3)[1])
    assert len(set(drawn)) > 1


def test_the_group_that_is_most_of_the_cells_is_held_out_last():
    codes = np.tile([0, 1], 500)
    groups = pd.Series(np.repeat(["big", "small", "tiny"], [800, 150, 50]))
    for seed in range(10):
        _, validation = grouped_split(codes, groups, 0.1, seed)
        assert "big" not in set(groups[validation])
    only_big_is_free = np.where(groups == "big", 0, np.where(groups == "small", 1, 2))
    only_big_is_free[[800, 950]] = 0
    _, validation = grouped_split(only_big_is_free, groups, 0.1, 0)
    assert set(groups[validation]) == {"big"}


def test_a_group_with_a_class_of_its_own_trains():
    codes, groups = donors()
    codes[groups == "d3"] = 9
    for seed in range(5):
        _, validation = grouped_split(codes, groups, 0.9, seed)
        assert "d3" not in set(groups[validation])


def test_unlabelled_cells_need_no_group_and_make_none():
    codes = np.array([0, 1, 0, 1, -1, -1])
    groups = pd.Series(["a", "a", "b", "b", None, "c"], name="donor")
    train, validation = grouped_split(codes, groups, 0.5, 0)
    assert sorted([*train, *validation]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "values",
    [["a"] * 10 + ["b"] * 10, [1] * 10 + [2] * 10, [1.5] * 10 + [2.0] * 10, [True] * 10 + [False] * 10],
)
@pytest.mark.parametrize("dtype", [None, "category", object])
def test_groups_of_any_type(values, dtype):
    codes = np.tile([0, 1], 10)
    train, validation = grouped_split(codes, pd.Series(values, dtype=dtype), 0.5, 0)
    is_a_split(codes, train, validation)
    assert len(validation) == 10


def test_what_is_wrong_with_the_groups_is_said():
    codes = np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match=r"obs\['donor'\]` is NaN for 2 labelled cells; each needs a group"):
        grouped_split(codes, pd.Series(["a", None, np.nan, "b"], name="donor"), 0.5, 0)
    with pytest.raises(ValueError, match=r"obs\['donor'\]` has one group only"):
        grouped_split(codes, pd.Series(["a"] * 4, name="donor"), 0.5, 0)
    with pytest.raises(ValueError, match="one group only"):
        grouped_split(np.array([0, 1, -1]), pd.Series(["a", "a", "b"]), 0.5, 0)
    with pytest.raises(ValueError, match=r"No group of `adata.obs\['donor'\]` can be held out: each has a class"):
        grouped_split(codes, pd.Series(["a", "b", "a", "b"], name="donor"), 0.5, 0)


def test_the_column_for_obs():
    column = split_column(5, np.array([0, 3]), np.array([4]))
    assert list(column) == ["train", "unlabeled", "unlabeled", "train", "validation"]
    assert list(column.categories) == ["train", "validation", "unlabeled"]
    assert list(split_column(2, np.array([], dtype=int), np.array([], dtype=int))) == ["unlabeled"] * 2


def test_a_random_split_in_three():
    train, validation, test = random_split(1001, 0.7, 0.15, 0)
    assert [len(train), len(validation), len(test)] == [700, 150, 151]
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation, test])), np.arange(1001))
    assert all((np.diff(part) > 0).all() for part in (train, validation, test))
    np.testing.assert_array_equal(random_split(1001, 0.7, 0.15, 0)[1], validation)
    assert not np.array_equal(random_split(1001, 0.7, 0.15, 1)[1], validation)
    assert [len(part) for part in random_split(10, 0.9, 0.1, 0)] == [9, 1, 0]
    with pytest.raises(ValueError, match="make more than 1 together"):
        random_split(10, 0.9, 0.2, 0)
