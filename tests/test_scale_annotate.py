"""The page on annotation of stores does what it prints."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import anndata as ad

PAGE = Path(__file__).parents[1] / "docs" / "scale" / "annotate.md"


def test_every_recipe_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile("".join(blocks), str(PAGE), "exec"), {"__name__": "recipe"})
    assert sorted(each.name for each in tmp_path.iterdir()) == ["atlas.h5ad", "my_model"]
    backed = ad.read_h5ad("atlas.h5ad", backed="r")
    assert backed.obsm["sims_masks"].getnnz(1).max() <= 10
    backed.file.close()
