import numpy as np
import pytest
from benchmarks.accuracy.splits import hold_out, stratified


@pytest.mark.parametrize("seed", range(3))
def test_every_class_is_on_both_sides_and_a_single_cell_trains(seed):
    labels = np.array(["a"] * 100 + ["b"] * 10 + ["c"] * 2 + ["d"])
    train, test = stratified(labels, seed)
    assert sorted([*train, *test]) == list(range(len(labels)))
    names, counts = np.unique(labels[test], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"a": 30, "b": 3, "c": 1}


def test_splits_depend_on_the_seed_alone():
    labels = np.repeat(["a", "b"], 50)
    np.testing.assert_array_equal(stratified(labels, 1)[1], stratified(labels, 1)[1])
    assert not np.array_equal(stratified(labels, 1)[1], stratified(labels, 2)[1])


def test_a_held_out_group_never_trains_and_labels_are_shared():
    labels = np.tile(["a", "b", "c"], 60)
    groups = np.repeat(["x", "y", "z"], 60)
    labels[groups == "x"] = np.where(labels[groups == "x"] == "c", "only in x", labels[groups == "x"])
    found = hold_out(labels, groups)
    assert set(found) == {"x", "y", "z"}
    for group, (train, test) in found.items():
        assert group not in groups[train]
        assert set(groups[test]) == {group}
        assert set(labels[train]) == set(labels[test])
    assert "only in x" not in labels[found["x"][1]]


def test_groups_that_say_nothing_are_not_held_out():
    labels = np.array(["a", "b"] * 50 + ["a"] * 30 + ["a", "b"] * 2)
    groups = np.array(["large"] * 100 + ["one label"] * 30 + ["few cells"] * 4)
    assert set(hold_out(labels, groups)) == {"large"}
