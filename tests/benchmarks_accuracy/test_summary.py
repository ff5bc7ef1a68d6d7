import pytest
from benchmarks.accuracy.goals import behind, goals
from benchmarks.accuracy.summary import compare, read
from benchmarks.accuracy.tables import random


def line(method, name, seed, macro_f1, **more):
    values = {"section": "score", "task": "random", "level": None, "split": "70/30", "ece": 0.02, "train_seconds": 1.0}
    return {**values, "set": name, "seed": seed, "method": method, "macro_f1": macro_f1, "few_f1": None, **more}


def ours(name, seed, macro_f1, **more):
    return line("sims-tools", name, seed, macro_f1, recipe={}, genes_in_mask=50.0, **more)


@pytest.fixture
def lines():
    return [
        *[ours("first", seed, value) for seed, value in enumerate((0.90, 0.92))],
        *[line("logistic", "first", seed, value) for seed, value in enumerate((0.91, 0.95))],
        *[ours("second", seed, value) for seed, value in enumerate((0.80, 0.82))],
        *[line("logistic", "second", seed, value) for seed, value in enumerate((0.70, 0.72))],
        line("svm", "second", 0, 0.75),
        line("logistic", "third", 0, 0.5),
        line("svm", "third", 0, None, missing="it broke"),
    ]


def test_ours_is_compared_with_the_best_peer_of_each_set(lines):
    results = read(lines)
    found = compare(results.by_set("macro_f1"), results.ours, results.peers)
    assert list(found.table["peer"]) == ["logistic", "svm"]
    assert list(found.above) == [False, True]
    assert list(found.within) == [True, True]  # 0.91 against 0.93 +- 0.028
    assert found.margins["logistic"] == pytest.approx((-0.02 + 0.10) / 2)
    assert found.margins["svm"] == pytest.approx(0.05), "on the seed of both"


def test_the_last_line_about_the_same_thing_counts(lines):
    results = read([*lines, ours("first", 0, 0.50)])
    assert results.by_set("macro_f1").mean.loc["first", "sims-tools"] == pytest.approx((0.50 + 0.92) / 2)


def test_a_seed_that_lacks_a_split_does_not_count():
    each = {"task": "transfer"}
    found = [
        line("logistic", "first", 0, 0.4, **{**each, "split": "donor 1"}),
        line("logistic", "first", 0, 0.6, **{**each, "split": "donor 2"}),
        line("logistic", "first", 1, 0.9, **{**each, "split": "donor 1"}),
    ]
    assert read(found).by_set("macro_f1", "transfer").mean.loc["first", "logistic"] == pytest.approx(0.5)


def test_tables_say_what_is_best_and_what_is_not_there(lines):
    text = random(read(lines))
    assert "| first | 0.910 ± 0.014 | **0.930 ± 0.028** | – |" in text
    assert "| second | **0.810 ± 0.014** | 0.710 ± 0.014 | 0.750 |" in text
    assert "| third | – | **0.500** | – |" in text


def test_goals_are_about_sets_that_both_have(lines):
    text = goals(read(lines))
    assert "| every set | 2 of 2;" in text
    assert "| two thirds of the sets | 1 of 2 | not reached |" in text
    assert "+0.040 against logistic regression" in text
    assert goals(read([each for each in lines if each["method"] != "sims-tools"])) == ""


def test_where_a_peer_is_better_is_said(lines):
    text = behind(read(lines))
    assert "| random splits | first | logistic regression | 0.930 | 0.910 | yes |" in text
    assert "second" not in text
