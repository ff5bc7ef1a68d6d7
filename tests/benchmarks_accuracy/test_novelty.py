"""The benchmark of novelty: every class is left out once, what is there is not measured again."""

from dataclasses import replace

import pytest
from benchmarks.accuracy import novelty

import sims_tools as sims

OPTIONS = '{"max_epochs": 2, "n_d": 4, "n_a": 4}'


@pytest.fixture
def folder(tmp_path):
    cells = sims.data.planted_cells(n_cells=700, n_genes=60, n_classes=3, random_state=0)
    cells.uns["x_kind"] = "counts"
    cells.write_h5ad(tmp_path / "planted.h5ad")
    return tmp_path


def run(folder, *more):
    out = folder / "novelty.jsonl"
    arguments = ["--data", str(folder), "--out", str(out), "--threads", "1", "--options", OPTIONS, *more]
    novelty.main(arguments)
    return novelty.STUDY.results(out)


def test_every_class_is_left_out_once_and_found(folder, capsys):
    found = run(folder)
    assert [line["class"] for line in found] == ["type_0", "type_1", "type_2"]
    assert all(line["n_novel"] + line["n_known"] + line["n_train"] == 700 for line in found)
    assert all(line["novelty"] > 0.9 for line in found)
    for by in ("novelty", "neighbors"):
        assert all(line[f"{by}_novel"] > line[f"{by}_known"] for line in found)
    printed = capsys.readouterr().out
    mean = sum(line["novelty"] for line in found) / 3
    assert any(row.startswith("| planted") and f"{mean:.3f}" in row for row in printed.splitlines())


def test_a_run_goes_on_where_it_was(folder, monkeypatch):
    first = run(folder, "--max-classes", "1")
    assert len(first) == 1
    asked = []
    counted = replace(
        novelty.STUDY, measure=lambda cells, about: asked.append(about["class"]) or novelty.measure(cells, about)
    )
    monkeypatch.setattr(novelty, "STUDY", counted)
    assert len(run(folder)) == 3
    assert first[0]["class"] not in asked
    assert len(asked) == 2


def test_an_error_is_written_down_and_the_run_goes_on(folder, monkeypatch):
    def fail(*_):
        raise RuntimeError("no")

    with monkeypatch.context() as patched:
        patched.setattr(novelty, "STUDY", replace(novelty.STUDY, measure=fail))
        assert [line["error"] for line in run(folder, "--max-classes", "2")] == ["RuntimeError: no"] * 2
    assert all("error" not in line for line in run(folder, "--max-classes", "2"))
