"""One process of a training, timed from inside: `python -m benchmarks.scale.ddp_job ARGUMENTS` as JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

import sims_tools as sims

from .cells import PlantedStore

MARK = "result: "


class Clock(Callback):
    """Seconds of each epoch."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
        self._start = time.perf_counter()

    def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
        self.seconds.append(time.perf_counter() - self._start)


def train(
    processes: int, threads: int, batch_size: int, cells: int, genes: int, values: int, epochs: int, seed: int
) -> dict[str, Any]:
    """Train the default preset on planted cells."""
    torch.set_num_threads(threads)
    reference = PlantedStore(genes, values, 1, seed).sample(cells)
    clock = Clock()
    sims.tl.sims_train(
        reference, "cell_type", validation_size=0.0, max_epochs=epochs, batch_size=batch_size, accelerator="cpu",
        devices=processes, strategy="ddp" if processes > 1 else "auto", callbacks=clock, progress_bar=False,
    )  # fmt: skip
    later = sorted(clock.seconds[1:])
    return {
        "processes": processes,
        "threads": threads,
        "batch_size": batch_size,
        "n_cells": cells,
        "n_genes": genes,
        "epoch_seconds": clock.seconds,
        "cells_per_second": cells / later[len(later) // 2],
        "peak_memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


def main() -> None:
    found = train(**json.loads(sys.argv[1]))
    if os.environ.get("RANK", "0") == "0":
        print(MARK + json.dumps(found))


if __name__ == "__main__":
    main()
