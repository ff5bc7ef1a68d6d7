import numpy as np
import pytest
from benchmarks.accuracy import lines
from benchmarks.accuracy.cases import cases
from benchmarks.accuracy.perturb import TASKS
from benchmarks.accuracy.run import Run

import sims_tools as sims


@pytest.fixture
def folder(tmp_path):
    cells = sims.data.planted_cells(n_cells=240, random_state=0)
    cells.uns["x_kind"] = "counts"
    cells.obs["donor"] = np.where(np.arange(cells.n_obs) % 2, "x", "y")
    cells.write_h5ad(tmp_path / "planted.h5ad")
    return tmp_path


def measure(folder, methods, tasks=("random",), seeds=(0,), **more):
    options = {"name": "sims-tools", "options": {}, "threads": 1, "retry": False, **more}
    run = Run(folder / "results.jsonl", methods, **options)
    for case in cases(folder, names=None, tasks=list(tasks), seeds=list(seeds)):
        run.case(case)
    return lines.read(folder / "results.jsonl")


def test_a_run_that_was_stopped_goes_on_where_it_was(folder):
    whole = measure(folder, ["logistic"], TASKS, (0, 1))
    assert len(whole) == 2 * 6 + 2  # without chance in it, a held-out batch is predicted once
    assert min(line["macro_f1"] for line in whole if line["task"] == "random") > 0.9
    text = (folder / "results.jsonl").read_text().splitlines(keepends=True)
    (folder / "results.jsonl").write_text("".join(text[:-3]) + text[-3][:40])
    again = measure(folder, ["logistic"], TASKS, (0, 1))
    assert {lines.key(line) for line in again} == {lines.key(line) for line in whole}
    assert len(again) == len(whole)


def test_what_fails_says_so_and_is_tried_again_when_asked(folder, monkeypatch):
    from benchmarks.accuracy.methods.knn import NearestNeighbours

    with monkeypatch.context() as patch:
        patch.setattr(NearestNeighbours, "fit", lambda *_: 1 / 0)
        found = measure(folder, ["knn", "logistic"])
    failed = [line for line in found if "missing" in line]
    assert {line["method"] for line in failed} == {"knn"}
    assert {line["missing"] for line in failed} == {"ZeroDivisionError: division by zero"}
    assert sum("macro_f1" in line for line in found) == len(failed)
    assert measure(folder, ["knn"]) == found
    again = measure(folder, ["knn"], retry=True)
    assert len(again) == len(found) + len(failed)
    assert not any("missing" in line for line in lines.scores(again))


def test_two_recipes_need_two_names(folder):
    about = dict.fromkeys(lines.IDENTITY) | {"method": "short", "recipe": {"max_epochs": 1}}
    lines.Writer(folder / "results.jsonl")("score", about)
    measure(folder, [], name="short", options={"max_epochs": 1})
    with pytest.raises(ValueError, match="another --name"):
        measure(folder, [], name="short", options={"max_epochs": 2})
