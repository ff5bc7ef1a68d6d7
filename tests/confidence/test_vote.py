"""One label for each group of cells."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.confidence import majority_vote


def vote(codes: list[int], groups: list[int], n_codes: int = 4) -> tuple[list[int], list[float]]:
    given_codes, given_groups = np.array(codes), np.array(groups)
    winners, shares = majority_vote(given_codes, given_groups, n_codes)
    assert given_codes.tolist() == codes
    assert given_groups.tolist() == groups
    assert shares.dtype == np.float32
    return winners.tolist(), [round(float(share), 6) for share in shares]


def test_the_most_frequent_label_of_the_group_wins():
    assert vote([0, 1, 1, 2, 2, 2], [0, 0, 0, 1, 1, 1]) == ([1, 1, 1, 2, 2, 2], [0.666667] * 3 + [1.0] * 3)


def test_ties_go_to_the_first_class():
    assert vote([2, 1, 1, 2], [0, 0, 0, 0]) == ([1] * 4, [0.5] * 4)


def test_uncalled_wins_only_where_nobody_is_called():
    assert vote([3, 3, 3, 1], [0, 0, 0, 0]) == ([1] * 4, [0.25] * 4)  # the share is among all cells
    assert vote([3, 3, 1], [0, 0, 1]) == ([3, 3, 1], [1.0, 1.0, 1.0])


def test_cells_without_a_group_keep_their_own_label():
    assert vote([0, 1, 3, 2], [-1, 0, -1, -1]) == ([0, 1, 3, 2], [1.0] * 4)
    assert vote([2, 2, 0], [0, -1, 0]) == ([0, 2, 0], [0.5, 1.0, 0.5])


def test_groups_that_nobody_is_in():
    assert vote([1, 2], [5, 2]) == ([1, 2], [1.0, 1.0])


@pytest.mark.parametrize("dtype", ["int8", "int16", "int64"])
def test_any_integer_type(dtype):
    winners, _ = majority_vote(np.array([0, 1, 1], dtype=dtype), np.array([0, 0, 0], dtype=dtype), 3)
    assert winners.tolist() == [1, 1, 1]


def test_no_cells():
    winners, shares = majority_vote(np.array([], dtype=int), np.array([], dtype=int), 3)
    assert winners.shape == shares.shape == (0,)


@settings(derandomize=True)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-1, 3)), min_size=1, max_size=60))
def test_against_counting_by_hand(cells):
    codes, groups = (np.array(column) for column in zip(*cells, strict=True))
    winners, shares = majority_vote(codes, groups, 5)
    for cell, (code, group) in enumerate(cells):
        if group < 0:
            assert (winners[cell], shares[cell]) == (code, 1)
            continue
        members = Counter(codes[groups == group].tolist())
        called = {each: n for each, n in members.items() if each != 4} or members
        best = min(each for each, n in called.items() if n == max(called.values()))
        assert winners[cell] == best
        assert shares[cell] == pytest.approx(members[best] / members.total())
