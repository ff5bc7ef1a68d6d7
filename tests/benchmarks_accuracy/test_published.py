"""The benchmark of published models: both programs of a recipe train and agree."""

from benchmarks.accuracy import published

import sims_tools as sims


def test_both_programs_of_a_recipe_learn_planted_classes_alike(tmp_path, capsys):
    cells = sims.data.planted_cells(n_cells=600, n_genes=150, n_classes=3, fold=20.0)
    cells.uns["x_kind"] = "counts"
    cells.write_h5ad(tmp_path / "planted.h5ad")
    out = tmp_path / "published.jsonl"
    published.main(["--data", str(tmp_path), "--out", str(out), "--threads", "1", "--model", "actinn"])
    found = {line["program"]: line for line in published.STUDY.results(out)}
    assert set(found) == {"sims-tools", "written out", "logistic regression"}
    assert not any("error" in line for line in found.values())
    assert abs(found["sims-tools"]["accuracy"] - found["written out"]["accuracy"]) < 0.1
    assert found["logistic regression"]["accuracy"] > 0.9
    assert 100 < found["sims-tools"]["genes_used"] < 150
    assert "| actinn | planted | sims-tools | 1 |" in capsys.readouterr().out
