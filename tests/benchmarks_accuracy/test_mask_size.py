import pytest
from benchmarks.accuracy.mask_size import as_table, averages, draw, sizes


def line(options, name, seed, genes, macro_f1):
    about = {"section": "score", "task": "random", "level": None, "split": "70/30", "method": str(options)}
    return {**about, "set": name, "seed": seed, "recipe": options, "genes_in_mask": genes, "macro_f1": macro_f1}


@pytest.fixture
def lines():
    few = {"max_selected": 8}
    return [
        line({}, "first", 0, 60.0, 0.9),
        line({}, "second", 0, 80.0, 0.8),
        line({}, "first", 1, 0.0, 0.0),
        line(few, "first", 0, 10.0, 0.7),
        line(few, "second", 0, 20.0, 0.9),
        {**line({}, "first", 0, 0.0, 0.0), "method": "svm"},
    ]


def test_recipes_are_compared_on_the_sets_and_seeds_of_all(lines):
    del lines[-1]["recipe"]
    found = averages(sizes(lines))
    assert list(found.index) == ["max_selected=8", "default"]
    assert list(found["genes_in_mask"]) == [15, 70]
    assert list(found["macro_f1"]) == pytest.approx([0.8, 0.85])
    assert list(found["most_in"]) == ["second", "second"]


def test_the_table_and_the_figure_hold_them(lines, tmp_path):
    found = sizes(lines[:-1])
    assert "| `max_selected=8` | 15 | 20 (second) | 0.800 |" in as_table(found)
    draw(found, tmp_path / "sizes.svg")
    assert (tmp_path / "sizes.svg").stat().st_size > 1000


def test_nothing_measured_is_said():
    assert as_table(sizes([])) == "Not measured here."
