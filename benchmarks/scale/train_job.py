"""One training from a store, timed from inside: `python -m benchmarks.scale.train_job JSON`."""

from __future__ import annotations

import json
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from benchmarks.speed.watermark import STATUS, Watermark, _status
from lightning.pytorch.callbacks import Callback

import sims_tools as sims

from .ddp_job import MARK

LABEL = "cell_type"


class Clock(Callback):
    """When epochs begin and end."""

    def on_train_start(self, *_: Any) -> None:
        self.begin = time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        self.end = time.perf_counter()


def measured(path: Path, **run: Any) -> tuple[Any, dict[str, float]]:
    """A model; seconds of its training, memory on top of what the process took before and all that it took, in GB."""
    clock = Clock()
    with Watermark() as memory:
        start = time.perf_counter()
        model = sims.tl.sims_train(path, LABEL, callbacks=clock, progress_bar=False, **run)
        whole = time.perf_counter() - start
    extra, peak = float("nan"), float("nan")
    if memory.extra is not None and STATUS.exists():
        extra, peak = memory.extra / 1e9, _status("VmHWM") / 1e9
    seconds = {"before_and_after": whole - clock.end + clock.begin, "epochs": clock.end - clock.begin}
    return model, {**seconds, "extra": extra, "peak": peak}


def main() -> None:
    warnings.simplefilter("ignore")
    job = json.loads(sys.argv[1])
    path, run = Path(job.pop("path")), {"n_members": 1, **job}
    small = sims.data.planted_cells(2000, n_genes=3000, n_classes=20)
    sims.tl.sims_train(small, LABEL, **{**run, "max_epochs": 1, "stream": False}, progress_bar=False)  # compiles
    model, found = measured(path, **run)
    n_cells = run["max_epochs"] * int((model.split_["split"] == "train").sum())
    print(MARK + json.dumps({**found, "cells": n_cells}), flush=True)


if __name__ == "__main__":
    main()
