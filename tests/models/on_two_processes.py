"""What each of two processes runs in `test_two_processes.py`: trainings whose results each writes to a file of its own.

Called with a folder and the names of trainings.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import torch
import torch.distributed
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, IterableDataset

import sims_tools as sims

TWO: dict[str, Any] = {"accelerator": "cpu", "devices": 2, "strategy": "ddp"}
RUN: dict[str, Any] = {"max_epochs": 3, "batch_size": 25, "n_top_genes": None, "progress_bar": False}
TABNET: dict[str, Any] = {**RUN, "n_d": 4, "n_a": 4, "n_steps": 2}
KILLED: dict[str, Any] = {**TABNET, "n_members": 1, "weight_average": 0.9, "max_epochs": 4}
EVEN: dict[str, Any] = {**RUN, "batch_size": 38}  # five minibatches of the 190 training cells
STILL: dict[str, Any] = {"learning_rate": 1e-9, "schedule": "constant", "patience": 2, "max_epochs": 9}


def numbered_cells() -> ad.AnnData:
    """211 cells; counts of the first gene number them."""
    cells = sims.data.planted_cells(n_cells=211, n_genes=60, n_classes=3)
    counts = cells.X.tolil()
    counts[:, 0] = np.arange(1, 212)[:, None]
    cells.X = counts.tocsr()
    return cells


class Seen(Callback):
    """Numbers of the cells of each minibatch, epoch by epoch."""

    def __init__(self) -> None:
        self.train: list[list[list[int]]] = []
        self.validation: list[list[int]] = []

    def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
        self.train.append([])
        self.validation.append([])

    def on_train_batch_start(self, trainer: Any, plan: Any, batch: Any, batch_idx: int) -> None:
        self.train[-1].append(_numbers(batch))

    def on_validation_batch_start(self, trainer: Any, plan: Any, batch: Any, batch_idx: int, *_: Any) -> None:
        self.validation[-1] += _numbers(batch)


def _numbers(batch: Any) -> list[int]:
    return batch["X"].to_dense()[:, 0].round().int().tolist()


class Kill(Callback):
    """End the second process in the middle of the third epoch."""

    def on_train_batch_end(self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (2, 1, 1):
            os.kill(os.getpid(), signal.SIGKILL)


class CtrlC(Callback):
    """Interrupt all processes in the middle of the third epoch, as a terminal does."""

    def on_train_batch_end(self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx, trainer.global_rank) == (2, 1, 0):
            os.killpg(os.getpgrp(), signal.SIGINT)


def two(folder: Path) -> list[ad.AnnData]:
    """References that measured different genes."""
    cells = sims.data.planted_cells(n_cells=200, n_genes=60, n_classes=3)
    return [cells[:120].copy(), cells[120:, 10:].copy()]


class Rows(IterableDataset):
    """Rows of cells in another order in each pass; those of one process, where it is asked which."""

    def __init__(self, rows: np.ndarray, *, shards: bool) -> None:
        self.rows = rows
        self.rank, self.world = 0, 1
        if shards:
            self.rank, self.world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.rng = np.random.default_rng(self.rank)

    def __iter__(self) -> Iterator[int]:
        return iter(self.rng.permutation(self.rows[self.rank :: self.world]))


class Module(LightningDataModule):
    """Numbered cells, of which every tenth validates.

    How they are shared: by the package ("loader"), by the data set as the environment says ("shards"), not ("all").
    """

    def __init__(self, shared: str) -> None:
        super().__init__()
        self.adata, self.shared = numbered_cells(), shared
        self.labels = ["type_0", "type_1", "type_2", "Unknown"]
        self.codes = np.array([self.labels.index(name) for name in self.adata.obs["cell_type"].astype(str)])
        self.registry = {
            "field_registries": {
                "X": {"state_registry": {"column_names": list(self.adata.var_names)}},
                "labels": {"state_registry": {"categorical_mapping": self.labels}},
            }
        }

    def setup(self, stage: str) -> None:
        validates = np.arange(211) % 10 == 0
        self.rows = {False: np.flatnonzero(~validates), True: np.flatnonzero(validates)}
        if self.shared != "loader":
            self.rows[False] = Rows(self.rows[False], shards=self.shared == "shards")

    def train_dataloader(self) -> DataLoader:
        shuffle = True if self.shared == "loader" else None
        return DataLoader(self.rows[False], batch_size=38, shuffle=shuffle, collate_fn=self._take)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self.rows[True], batch_size=8, collate_fn=self._take)

    def _take(self, rows: list[int]) -> dict[str, Any]:
        return {"X": self.adata.X[rows], "labels": self.codes[rows]}


MODULES = {"module": "loader", "module shards": "shards", "module not shared": "all"}

TRAININGS: dict[str, dict[str, Any]] = {
    "actinn": {**EVEN, "model": "actinn"},
    "pollock": {**RUN, "model": "pollock"},
    "cell_transformer": {**RUN, "model": "cell_transformer", "width": 8, "n_layers": 1, "n_heads": 2},
    "sims": TABNET,
    "sctab": {**TABNET, "preset": "sctab"},
    "averaged": {**TABNET, "n_members": 1, "weight_average": 0.9, "schedule": "plateau"},
    "no validation": {**TABNET, "n_members": 1, "weight_average": 0.9, "validation_size": 0.0},
    "stopped early": {**TABNET, "n_members": 1, **STILL},
    "balanced": {**EVEN, "model": "actinn", "sampling": "balanced"},
}


def train(name: str, folder: Path, seen: Seen) -> Any:
    """One training, by its name."""
    options = {**TWO, "callbacks": seen}
    if name in TRAININGS:
        csv = {"logger": CSVLogger(folder, "log")} if name == "actinn" else {}
        return sims.tl.train(numbered_cells(), "cell_type", **TRAININGS[name], **csv, **options)
    if name in MODULES:
        module = {"datamodule": Module(MODULES[name])}
        return sims.tl.train(**module, model="actinn", max_epochs=3, n_top_genes=None, progress_bar=False, **options)
    if name == "references":
        return sims.tl.sims_train(two(folder), "cell_type", join="outer", n_members=1, **TABNET, **options)
    if name == "streamed":
        return sims.tl.train(folder / "cells.h5ad", "cell_type", model="actinn", stream=True, **RUN, **options)
    if name == "pretrained":
        return sims.tl.pretrain(numbered_cells(), **TABNET, **options)
    if name in ("killed", "uninterrupted", "gone on"):
        others = [seen, *([Kill()] if name == "killed" else [])]
        kept = {} if name == "uninterrupted" else {"checkpoint": folder / "kept"}
        return sims.tl.sims_train(numbered_cells(), "cell_type", **KILLED, **kept, **TWO, callbacks=others)
    if name == "interrupted":
        kept = {"checkpoint": folder / "kept", "callbacks": [seen, CtrlC()]}
        return sims.tl.sims_train(numbered_cells(), "cell_type", **KILLED, **kept, **TWO)
    if name == "different seeds":
        seed = int(os.environ["RANK"])
        return sims.tl.sims_train(numbered_cells(), "cell_type", random_state=seed, **TABNET, **options)
    raise ValueError(name)


def main(folder: Path, names: list[str]) -> None:
    """Write the results of this process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a process in the background ignores Ctrl-C
    found: dict[str, Any] = {}
    for name in names:
        found[name] = results(name, folder)
        torch.save(found, folder / f"found-{torch.distributed.get_rank()}.pt")


def results(name: str, folder: Path) -> dict[str, Any]:
    """Of one training; its error where it is refused."""
    seen = Seen()
    try:
        model = train(name, folder, seen)
    except ValueError as error:
        return {"error": str(error)}
    model.save(folder / "models" / name)
    return {
        "weights": model.module.state_dict(),
        "history": {key: values.tolist() for key, values in model.history_by_epoch.items()},
        "gene_weights": None if model.gene_weights_ is None else list(model.gene_weights_),
        "described": repr(model._describe()),
        "interrupted": model.was_interrupted_,
        "train": seen.train,
        "validation": seen.validation,
        "rank": torch.distributed.get_rank(),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
