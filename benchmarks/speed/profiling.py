"""Where our time goes: `python -m benchmarks.speed.profiling --out FILE`.

Each phase over one minibatch of 1,024 cells x 20,000 genes, 64/64, on the plain path (`before`: the network reads the
dense minibatch) and on the fast one (`after`: it reads sparse rows). Torch's profiler says which of its operations took
the time; Python's says which functions did, compiled kernels among them. One thread, so that both see all that runs.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import pstats
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F
from torch.profiler import ProfilerActivity
from torch.profiler import profile as torch_profile

from sims_tools.nn import SparseRows, TabNet

from . import machine
from .counts import as_rows, planted
from .networks import Config, ours
from .phases import PHASES
from .screen import short
from .timing import CLOCKS, set_threads

TOP, RUNS = 10, 2


def runs(network: TabNet, x: SparseRows | torch.Tensor, codes: torch.Tensor) -> dict[str, Callable[[], None]]:
    """Each phase as a function of no arguments."""
    optimizer = torch.optim.Adam(network.parameters(), lr=0.0)

    def train() -> None:
        output = network.train()(x)
        (F.cross_entropy(output.logits, codes) + output.penalty).backward()
        optimizer.step()
        optimizer.zero_grad()

    @torch.no_grad()
    def predict() -> None:
        network.eval()(x)

    @torch.no_grad()
    def masks() -> None:
        network.eval()(x, explain=True)

    return dict(zip(PHASES, (train, predict, masks), strict=True))


def operations(run: Callable[[], None]) -> list[tuple[str, float]]:
    """Torch operations and their own seconds for each run, longest first."""
    with torch_profile(activities=[ProfilerActivity.CPU]) as found:
        for _ in range(RUNS):
            run()
    times = [(event.key, event.self_cpu_time_total / 1e6 / RUNS) for event in found.key_averages()]
    return sorted(times, key=lambda pair: -pair[1])[:TOP]


def functions(run: Callable[[], None]) -> list[tuple[str, float]]:
    """Python functions and their own seconds for each run, built-in operations they call included, longest first."""
    profiler = cProfile.Profile(builtins=False)
    profiler.enable()
    for _ in range(RUNS):
        run()
    profiler.disable()
    times = [(_label(*where), entry[2] / RUNS) for where, entry in pstats.Stats(profiler).stats.items()]
    return sorted(times, key=lambda pair: -pair[1])[:TOP]


def _label(file: str, line: int, name: str) -> str:
    """File and function without folders of the machine."""
    parts = Path(file).parts
    package = next((i for i in range(len(parts) - 1, -1, -1) if parts[i] in ("sims_tools", "torch", "numba")), -1)
    return f"{'/'.join(parts[package:])}: {name}" if line else name


def measure(config: Config, clock: str) -> Iterator[dict[str, Any]]:
    """Profile of each phase on either path."""
    cells = planted(config.batch, config.n_genes)
    rows, codes = as_rows(cells.log1p_cp10k()), torch.from_numpy(cells.codes)
    network, now = ours(config, rows), CLOCKS[clock]
    for path, x in (("before", rows.to_dense()), ("after", rows)):
        for phase, run in runs(network, x, codes).items():
            run()
            start = now()
            run()
            took = now() - start
            shared = {"config": asdict(config), "path": path, "phase": phase, "all": took}
            yield {**shared, "operations": operations(run), "functions": functions(run)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--width", type=int, default=64)
    chosen = parser.parse_args()
    set_threads(1)
    with chosen.out.open("w") as file:
        head = {"section": "machine", "kind": "profile", **machine.describe(1, "wall")}
        file.write(json.dumps(head) + "\n")
        for result in measure(Config(chosen.genes, batch=chosen.batch, width=chosen.width), "wall"):
            file.write(json.dumps({"section": "profile", **result}) + "\n")
            file.flush()
            print(short({"section": "profile", "path": result["path"], "phase": result["phase"], "all": result["all"]}))


if __name__ == "__main__":
    main()
