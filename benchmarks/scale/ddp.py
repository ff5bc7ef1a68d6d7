"""Training by one process and by several: `python -m benchmarks.scale.ddp --out FILE`.

Prints and writes one JSON line a result: cells per second of the epochs after the first, without validation, and the
efficiency beside one process with as many threads as each of the others has. Processes are started by torchrun, on this
machine, and exchange gradients over gloo.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy.lines import Writer
from benchmarks.speed import machine

from .ddp_job import MARK

MODES = ("1x1", "1x2", "2x1")
"""Processes times threads of each."""


def measure(processes: int, threads: int, **arguments: Any) -> dict[str, Any]:
    """One training."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    job = json.dumps({"processes": processes, "threads": threads, **arguments})
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "benchmarks.scale.ddp_job", job],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = [line.partition(MARK)[2] for line in done.stdout.splitlines() if MARK in line]
    if done.returncode or not found:
        raise RuntimeError(f"The training ended with status {done.returncode}:\n{done.stderr}")
    return json.loads(found[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--mode", nargs="+", default=list(MODES), help="processes x threads of each")
    parser.add_argument("--cells", type=int, default=40_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--values", type=int, default=600, help="stored values of a cell, about")
    parser.add_argument("--batch-size", type=int, nargs="+", default=[256, 1024], help="cells, on all processes")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    about = {name: getattr(chosen, name) for name in ("cells", "genes", "values", "epochs", "seed")}
    chosen.out.unlink(missing_ok=True)
    put = Writer(chosen.out, prints=True)
    put("machine", {"kind": "ddp", **machine.describe(1, "wall")})
    for batch_size in chosen.batch_size:
        alone: dict[int, float] = {}
        best: dict[str, float] = {}
        for number in range(chosen.rounds):
            for mode in chosen.mode:
                processes, threads = map(int, mode.split("x"))
                found = measure(processes, threads, batch_size=batch_size, **about)
                put("ddp", {"mode": mode, "round": number, **found})
                best[mode] = max(best.get(mode, 0.0), found["cells_per_second"])
                if processes == 1:
                    alone[threads] = best[mode]
        for mode, rate in best.items():
            processes, threads = map(int, mode.split("x"))
            shared = rate / (processes * alone[threads]) if threads in alone else None
            put("best", {"mode": mode, "batch_size": batch_size, "cells_per_second": rate, "efficiency": shared})


if __name__ == "__main__":
    main()
