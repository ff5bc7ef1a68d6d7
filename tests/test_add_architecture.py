"""The page "Add your own architecture" does what it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "add_architecture.md"


def test_the_worked_example_prints_what_the_page_shows(tmp_path):
    page = PAGE.read_text(encoding="utf-8")
    code = "".join(re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    shown = "".join(re.findall(r"^```text\n(.*?)^```", page, re.DOTALL | re.MULTILINE))
    code = f"import torch\ntorch.set_num_threads(1)\n{code}"
    done = subprocess.run(  # in a process of its own, so that no other test meets the example's class
        [sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown
    assert (tmp_path / "components_model" / "model.json").is_file()
