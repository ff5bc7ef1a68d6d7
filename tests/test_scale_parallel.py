"""The page on annotation in parallel does what it prints."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("time_limit")

PAGE = Path(__file__).parents[1] / "docs" / "scale" / "parallel.md"


def blocks(kind: str) -> str:
    """All blocks of a kind, one after the other."""
    return "".join(re.findall(rf"^```{kind}\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE))


def test_every_recipe_runs_and_prints_what_the_page_shows(tmp_path, monkeypatch, capsys):
    pytest.importorskip("distributed")
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(compile(blocks("python"), str(PAGE), "exec"), {"__name__": "recipe"})
    assert capsys.readouterr().out == blocks("text")
    assert not list(tmp_path.glob("*.sims-parts*"))
