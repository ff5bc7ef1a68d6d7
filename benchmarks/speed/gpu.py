"""The same table on a CUDA device: `python -m benchmarks.speed.gpu --out FILE`. Says so where there is none.

Times are read after the device has done everything it was asked for. Memory is what torch's allocator held at most
beyond network, input and optimiser.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from . import machine
from .counts import planted
from .epochs import annotate, train
from .floors import machine_speed
from .networks import Config
from .phases import PHASES, Contest, contest_on, measure
from .run import quiet
from .screen import short

DEVICE = "cuda"
CONFIGS = (
    Config(20_000),
    Config(20_000, batch=4096),
    Config(20_000, width=8),
    Config(2_000),
    Config(36_000),
    Config(20_000, selector="entmax15", attention_scale=0.1),
)
WHOLE = (50_000, 20_000)


def extra_memory(contest: Contest) -> dict[str, dict[str, int]]:
    """Bytes each phase holds at most beyond what was there before, by network."""
    found: dict[str, dict[str, int]] = {}
    for phase in PHASES:
        for name, run in contest.contestants(phase).items():
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            run()
            torch.cuda.synchronize()
            found.setdefault(name, {})[phase] = torch.cuda.max_memory_allocated() - before
    return found


def minibatches(rounds: int) -> Any:
    """Phases of all networks, as on the CPU."""
    for config in CONFIGS:
        cells = planted(config.batch, config.n_genes)
        contest = contest_on(cells, config, rivals=("tabnet", "topk"), device=DEVICE)
        results = measure(contest, rounds=rounds, budget=30.0)
        extra = extra_memory(contest)
        for result in results:
            phase = {name: each[result["phase"]] for name, each in extra.items()}
            yield {"section": "phases", "data": cells.name, "extra": phase, **result}


def whole(rounds: int) -> Any:
    """Training and annotation as users run them, seconds per cell."""
    adata = planted(*WHOLE).to_adata()
    settings = {"clock": "wall", "accelerator": "gpu", "preset": "sims", "n_d": 64, "n_a": 64, "batch_size": 1024}
    _, model = train(adata[:2000].copy(), **settings)
    model.to_device(DEVICE)
    annotate(adata[:2000].copy(), model, clock="wall")
    trained = min(train(adata, **settings)[0]["all"] for _ in range(rounds))
    annotated = min(annotate(adata, model, clock="wall")["all"] for _ in range(rounds))
    yield {"section": "whole", "n_cells": WHOLE[0], "n_genes": WHOLE[1], "train": trained, "annotate": annotated}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        print("No CUDA device here: nothing was measured.")
        return
    quiet()
    lines = [
        {"section": "machine", "kind": "gpu", **machine.describe(torch.get_num_threads(), "wall")},
        {"section": "speed", **machine_speed(device=DEVICE)},
    ]
    for line in lines:
        print(short(line))
    for part in (minibatches, whole):
        for result in part(chosen.rounds):
            lines.append(result)
            print(short(result), flush=True)
    if chosen.out is not None:
        chosen.out.write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
