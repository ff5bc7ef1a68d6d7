"""What a measurement ran on and with: goes in front of the results."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

PACKAGES = ("sims-tools", "torch", "numba", "numpy", "scipy", "scvi-tools", "lightning", "pytorch-tabnet")


def describe(threads: int, clock: str) -> dict[str, Any]:
    """Machine, versions, date and command."""
    return {
        "cpu": _first(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.processor(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory": int(_first(Path("/proc/meminfo"), r"MemTotal:\s*(\d+) kB") or 0) * 1024 or None,
        "load": os.getloadavg()[0],
        "system": platform.system(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "commit": _commit(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "threads": threads,
        "clock": clock,
        "command": command(),
    }


def available() -> float:
    """Bytes of memory that could be had; infinite where the system does not say."""
    found = _first(Path("/proc/meminfo"), r"MemAvailable:\s*(\d+) kB")
    return float("inf") if found is None else int(found) * 1024


def command() -> str:
    """What was typed, files without their folders."""
    specification = getattr(sys.modules["__main__"], "__spec__", None)
    module = specification.name if specification else Path(sys.argv[0]).name
    return " ".join(["python -m", module, *(Path(each).name if "/" in each else each for each in sys.argv[1:])])


def _first(path: Path, pattern: str) -> str | None:
    found = re.search(pattern, path.read_text()) if path.exists() else None
    return found[1].strip() if found else None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        except FileNotFoundError:
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit, changes = git("rev-parse", "--short", "HEAD"), git("status", "--porcelain", "--", "src")
    return f"{commit} and changes" if commit and changes else commit
