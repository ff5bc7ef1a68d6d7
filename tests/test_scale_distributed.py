"""The page on training by several processes does what it says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import sims_tools as sims

PAGE = (Path(__file__).parents[1] / "docs" / "scale" / "distributed.md").read_text(encoding="utf-8")


def block(kind: str, start: str) -> str:
    """The block of a kind that begins so."""
    (found,) = (each for each in re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) if each.startswith(start))
    return found


def test_torchrun_runs_the_script_of_the_page_as_it_stands(tmp_path):
    (tmp_path / "train.py").write_text(block("python", "# train.py"), encoding="utf-8")
    command = shlex.split(block("bash", "torchrun"))
    assert command[0] == "torchrun"
    process = subprocess.Popen(
        [sys.executable, "-m", "torch.distributed.run", *command[1:]],
        cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=150)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, output
    model = sims.models.load(tmp_path / "my_model")
    assert len(model.history_by_epoch["epoch"]) == 5
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["training.safetensors"]
