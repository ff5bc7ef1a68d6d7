"""Training and annotation as users run them: seconds per cell of `tl` and of scsims' loop on the same cells."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
from anndata import AnnData

import sims_tools as sims
from sims_tools.models import SIMS

from .counts import Cells
from .scsims_itself import installed_version, train_installed
from .scsims_loop import TRAIN_BATCH, ScsimsLoop
from .timing import CLOCKS, Laps, medians, paired, ratios

LARGE, DEFAULT_WIDTH = 1024, 64


class EpochTimer(pl.Callback):
    """Seconds of each epoch over the training cells; validation is left out."""

    def __init__(self, clock: str) -> None:
        self.now, self.seconds, self.validation = CLOCKS[clock], [], 0.0

    def on_train_epoch_start(self, *_) -> None:
        self.start, self.validation = self.now(), 0.0

    def on_validation_start(self, *_) -> None:
        self.paused = self.now()

    def on_validation_end(self, *_) -> None:
        self.validation += self.now() - self.paused

    def on_train_epoch_end(self, *_) -> None:
        self.seconds.append(self.now() - self.start - self.validation)


def train(adata: AnnData, *, clock: str, accelerator: str = "cpu", **settings: Any) -> tuple[Laps, SIMS]:
    """Seconds per training cell of one epoch of `sims_train` on all genes."""
    timer = EpochTimer(clock)
    quiet = {"callbacks": [timer], "progress_bar": False, "accelerator": accelerator}
    model = sims.tl.sims_train(adata, "cell_type", n_top_genes=None, max_epochs=1, **quiet, **settings)
    n_train = int((adata.obs["sims_split"] == "train").sum())
    return {"all": timer.seconds[-1] / n_train}, model


def annotate(adata: AnnData, model: SIMS, *, clock: str) -> Laps:
    """Seconds per cell of `annotate` with masks."""
    now = CLOCKS[clock]
    start = now()
    sims.tl.annotate(adata, model, progress_bar=False)
    return {"all": (now() - start) / adata.n_obs}


def default_batch(n_cells: int) -> int:
    """Cells per minibatch of the default preset for so many training cells."""
    return SIMS.presets["default"].training.fit_to(n_cells).batch_size


def measure(
    cells: Cells, *, width: int, clock: str, rounds: int, scsims_cells: tuple[int, int], small_cells: int
) -> list[dict[str, Any]]:
    """Training and annotation of the same cells, ours and scsims' in turn.

    Parameters
    ----------
    cells
        All of them train and annotate in ours.
    width
        n_d and n_a.
    clock
        "wall" or "cpu".
    rounds
        How often each runs.
    scsims_cells
        How many cells scsims trains on and annotates: its time per cell does not depend on their number.
    small_cells
        How many ours trains on at a minibatch of 32, and with the default recipe.
    """
    matrix, adata = cells.log1p_cp10k(), cells.to_adata()
    few = adata[:small_cells].copy()
    usual = default_batch(adata.n_obs)
    n_train, n_annotate = scsims_cells
    loop = ScsimsLoop(matrix, cells.codes, width=width, clock=clock)
    thesis = {"preset": "sims", "n_d": width, "n_a": width, "clock": clock}
    _, model = train(few, **thesis, batch_size=LARGE)  # and what compiles at the first call

    contestants = {"scsims": lambda: loop.train(n_train)}
    for size in sorted({32, usual, LARGE}):
        some = few if size == 32 else adata
        contestants[f"ours, {size}"] = lambda some=some, size=size: train(some, **thesis, batch_size=size)[0]
    if width == DEFAULT_WIDTH:
        contestants["ours, default recipe"] = lambda: train(few, preset="default", clock=clock)[0]
    shared = {"data": cells.name, "n_cells": adata.n_obs, "n_genes": adata.n_vars, "width": width}
    trained = _paired(contestants, rounds)
    annotated = _paired(
        {"scsims": lambda: loop.annotate(n_annotate), "ours": lambda: annotate(adata, model, clock=clock)}, rounds
    )
    if installed_version() and clock == "wall":
        adata.X = matrix
        seconds = train_installed(adata, width=width, n_batches=n_train // TRAIN_BATCH)
        trained["seconds"][f"scsims {installed_version()} itself"] = {"all": seconds}
    counts = {"default_batch": usual, "small_cells": small_cells}
    return [
        {**shared, "task": "train", "scsims_cells": n_train, **counts, **trained},
        {**shared, "task": "annotate", "scsims_cells": n_annotate, **annotated},
    ]


def _paired(contestants: dict[str, Callable[[], Laps]], rounds: int) -> dict[str, Any]:
    """Median seconds per cell of each, and how many times longer scsims takes than each other."""
    found = paired(contestants, rounds=rounds, warm=())
    theirs = found["scsims"]
    times = {
        name: ratios({"scsims": theirs, name: runs}, mine=name)["scsims"]["all"]
        for name, runs in found.items()
        if name != "scsims"
    }
    return {"rounds": rounds, "seconds": medians(found), "ratios": times}
