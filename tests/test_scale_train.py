"""The page on training from stores does what it prints."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "scale" / "train.md"


def test_every_recipe_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "".join(re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))
    found: dict = {"__name__": "recipe"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(code, str(PAGE), "exec"), found)
    assert found["model"].is_trained_
    assert (tmp_path / "my_model").is_dir()
