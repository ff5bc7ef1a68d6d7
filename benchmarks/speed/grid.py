"""What is measured: genes, cells, widths, steps and batches, chosen so that a whole run stays short.

A minibatch does not know how many cells there are, so the phases vary genes, width, steps and batch, one at a time from
20,000 genes, 3 steps and 1,024 cells; the number of cells matters for whole runs and is varied there.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from .networks import Config

GENES = (2_000, 10_000, 20_000, 36_000)
DENSE, ALL = ("tabnet", "topk"), ("tabnet", "topk", "identity")


@dataclass(frozen=True)
class Epochs:
    """One measurement of epochs: see :func:`benchmarks.speed.epochs.measure`."""

    n_cells: int
    n_genes: int
    width: int
    scsims_cells: tuple[int, int]
    small_cells: int


@dataclass(frozen=True)
class Grid:
    """All that one run measures.

    Attributes
    ----------
    phases
        Networks with the rivals they meet.
    kept
        Those of them that are measured a second time with an allocator that keeps its pages.
    memory
        Networks whose extra peak memory is measured, and by whom.
    epochs
        Training and annotation as users run them.
    construct
        Numbers of genes.
    train
        Cells and genes of the whole training run, and of the alternatives.
    train_options
        Options of `sims_train` for each run of ours; all genes are taken unless they say otherwise.
    annotate
        Cells and genes.
    rounds, budget
        At most so many rounds of each phase, and seconds after which no further one starts (see `paired`).
    limit, train_limit
        Seconds after which an alternative, and our own training run, is stopped.
    """

    phases: tuple[tuple[Config, tuple[str, ...]], ...]
    kept: tuple[tuple[Config, tuple[str, ...]], ...]
    memory: tuple[Config, ...]
    epochs: tuple[Epochs, ...]
    construct: tuple[int, ...]
    train: tuple[int, int]
    train_options: tuple[dict[str, Any], ...]
    annotate: tuple[tuple[int, int], ...]
    rounds: int = 3
    budget: float = 10.0
    epoch_rounds: int = 3
    limit: float = 60.0
    train_limit: float = 600.0
    stored: dict[str, int] = field(default_factory=lambda: {"batch": 1024, "width": 64})


BASE = Config(20_000)
OPEN = {"selector": "entmax15", "attention_scale": 0.1}
"""Supports of about 1,000 genes at 20,000; the default recipe itself starts from 0.02, on 3,000 genes."""

RECIPE = {"selector": "entmax15", "attention_scale": 0.02, "center": False}

FULL = Grid(
    phases=(
        *((Config(2_000, width=width), ALL) for width in (64, 8)),
        *((Config(20_000, width=width), DENSE) for width in (64, 8)),
        *((Config(n_genes), DENSE) for n_genes in (10_000, 36_000)),
        *((Config(n_genes, n_steps=1), DENSE) for n_genes in (2_000, 20_000)),
        *((Config(n_genes, batch=256), DENSE) for n_genes in (2_000, 20_000)),
        (replace(BASE, **OPEN), ("tabnet",)),
        (Config(3_000, **RECIPE), ("tabnet",)),
        (Config(3_000, batch=64, **RECIPE), ("tabnet",)),
    ),
    kept=((BASE, DENSE), (Config(2_000), DENSE)),
    memory=(BASE, Config(2_000)),
    epochs=(
        Epochs(10_000, 20_000, 64, (64, 64), 2_000),
        Epochs(10_000, 20_000, 8, (64, 64), 2_000),
        Epochs(10_000, 2_000, 64, (640, 256), 2_000),
        Epochs(10_000, 2_000, 8, (640, 256), 2_000),
    ),
    construct=(20_000, 36_000),
    train=(10_000, 20_000),
    train_options=(
        {"n_top_genes": "preset"},
        {},
        {"n_top_genes": "preset", "n_members": 1},
    ),
    annotate=(*((10_000, n_genes) for n_genes in GENES), (50_000, 20_000), (100_000, 20_000)),
)

QUICK = Grid(
    phases=(
        (Config(500, batch=256), ALL),
        (Config(2_000, batch=256), ALL),
        (Config(2_000, batch=256, width=8), DENSE),
        (Config(2_000, batch=256, **OPEN), ("tabnet",)),
    ),
    kept=((Config(2_000, batch=256), DENSE),),
    memory=(Config(2_000, batch=256),),
    epochs=(Epochs(600, 2_000, 8, (64, 64), 320),),
    construct=(5_000,),
    train=(1_500, 1_000),
    train_options=({"max_epochs": 2},),
    annotate=((1_000, 2_000), (2_000, 2_000)),
    rounds=3,
    budget=5.0,
    limit=20.0,
)

GRIDS = {"quick": QUICK, "full": FULL}
