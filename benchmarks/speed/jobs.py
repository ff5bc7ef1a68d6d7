"""What is measured in a process of its own, for its memory, for a time limit or because it is a whole run.

A job is a function of plain arguments that returns a plain dictionary. `call` runs one in a fresh process;
`python -m benchmarks.speed.jobs NAME ARGUMENTS` is that process.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from typing import Any

JOBS = {
    "phases": "phases.job",
    "memory": "memory.measure",
    "construct": "memory.construct",
    "annotate": "whole.annotate",
    "train": "whole.train",
    "logistic_regression": "alternatives.logistic_regression",
    "celltypist": "alternatives.celltypist",
}
MARK = "result: "

KEEP_PAGES = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}
"""Environment in which glibc keeps what is freed: large arrays are then not fetched from the system anew each time."""


def call(name: str, *, limit: float | None = None, keep_pages: bool = False, **arguments: Any) -> dict[str, Any]:
    """Result of a job, or why there is none under the key "missing"; stopped after `limit` seconds."""
    environment = os.environ | (KEEP_PAGES if keep_pages else {})
    command = [sys.executable, "-m", "benchmarks.speed.jobs", name, json.dumps(arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return {"missing": f"stopped after {limit:g} s", "limit": limit}
    results = [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]
    if done.returncode or not results:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return {"missing": "killed, most likely for memory" if done.returncode == -9 else last}
    return json.loads(results[-1])


def main() -> None:
    name, arguments = sys.argv[1:]
    module, _, function = JOBS[name].partition(".")
    job = getattr(importlib.import_module(f"benchmarks.speed.{module}"), function)
    print(MARK + json.dumps(job(**json.loads(arguments))))


if __name__ == "__main__":
    main()
