"""The page "Add your own architecture" does what it prints."""

from __future__ import annotations

import gc
import re
import warnings
from pathlib import Path

import sims_tools as sims

PAGE = Path(__file__).parents[1] / "docs" / "add_architecture.md"


def blocks(kind: str) -> str:
    """All blocks of a kind, one after the other."""
    return "".join(re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def test_the_worked_example_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "example"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(blocks("python"), str(PAGE), "exec"), names)
    assert capsys.readouterr().out == blocks("text")
    assert (tmp_path / "components_model" / "model.json").is_file()
    names.clear()
    gc.collect()
    assert "components" not in sims.models.available().index  # no other test meets it
