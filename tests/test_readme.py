"""The README's commands and names are those of the package."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

import sims_tools as sims
from sims_tools.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["demo", "test"])
def test_ci_runs_the_commands_of_the_readme_word_for_word(name):
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    extract = script[script.index("readme_command()") : script.index("\n}\n") + 3]
    found = subprocess.run(
        ["bash", "-c", f"{extract}\nreadme_command {name}"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    block = re.search(rf"<!-- command: {name} -->\n```bash\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert found == block[1]
    assert f'readme_command {name})"' in script


def test_every_function_named_in_the_readme_exists():
    named = set(re.findall(r"sims\.(\w+)\.(\w+)", README))
    assert len(named) >= 4
    for room, name in named:
        assert callable(getattr(getattr(sims, room), name))


def test_every_command_line_in_the_readme_and_docs_parses():
    texts = [README, (ROOT / "docs" / "command_line.md").read_text(encoding="utf-8")]
    blocks = [block for text in texts for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)]
    lines = [line for block in blocks for line in re.findall(r"^sims-tools .*$", block, re.MULTILINE)]
    assert len(lines) >= 4
    for line in lines:
        command, *args = shlex.split(line)[1:]
        known = {option for each in main.commands[command].params for option in each.opts}
        assert {arg for arg in args if arg.startswith("-")} <= known, line
        assert isinstance(main.commands[command], click.Command)
