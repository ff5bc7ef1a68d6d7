"""The benchmark of masks: on planted cells masks hold what decides."""

from benchmarks.accuracy import masks

import sims_tools as sims

OPTIONS = '{"max_epochs": 15, "n_d": 8, "n_a": 8, "n_members": 1, "learning_rate": 0.02, "batch_size": 32}'


def test_planted_markers_are_what_the_model_needs(tmp_path, capsys):
    cells = sims.data.planted_cells(n_cells=500, n_genes=80, n_classes=3, random_state=0)
    cells.uns["x_kind"] = "counts"
    cells.write_h5ad(tmp_path / "planted.h5ad")
    out = tmp_path / "masks.jsonl"
    given = ["--data", str(tmp_path), "--out", str(out), "--threads", "1", "--models", "2", "--options", OPTIONS]
    masks.main(given)
    found = masks.STUDY.results(out)
    assert len(found) == 1
    assert "error" not in found[0]
    assert found[0]["untouched"] > 0.9
    assert found[0]["deleted masks"] < found[0]["deleted random"]
    assert 0 <= found[0]["jaccard"] <= 1
    printed = capsys.readouterr().out
    assert any(
        row.startswith("| planted") and f"{found[0]['deleted masks']:.3f}" in row for row in printed.splitlines()
    )
