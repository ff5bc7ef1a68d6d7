"""Measure: `python -m benchmarks.speed.run --grid quick|full --out FILE`. Writes one JSON line for each result."""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import epochs, floors, machine, phases, whole
from .counts import Cells, find_stored, planted, stored
from .grid import GRIDS, Grid
from .jobs import call
from .networks import Config
from .screen import short
from .timing import set_threads

Result = dict[str, Any]
GIGABYTE = 1e9


class Run:
    """The sections of a run over one grid.

    Parameters
    ----------
    grid
        What to measure.
    threads, clock
        For all that is measured.
    data
        Stored sets to measure as well.
    """

    def __init__(self, grid: Grid, *, threads: int, clock: str, data: list[Path]) -> None:
        self.grid, self.threads, self.clock, self.data = grid, threads, clock, data

    def phases(self) -> Iterator[Result]:
        """Minibatches of planted cells."""
        for config, rivals in self.grid.phases:
            yield from self._phases(planted(config.batch, config.n_genes), config, rivals)

    def kept(self) -> Iterator[Result]:
        """Some of them again with an allocator that keeps its pages: kinder to whoever allocates most."""
        options = {"rounds": self.grid.rounds, "budget": self.grid.budget, "clock": self.clock, "threads": self.threads}
        for config, rivals in self.grid.kept:
            found = call("phases", keep_pages=True, config=asdict(config), rivals=rivals, **options)
            yield from found.get("results", [{"config": asdict(config), **found}])

    def stored(self) -> Iterator[Result]:
        """Minibatches of the sets that were named, and training and annotation of them."""
        for path in find_stored(self.data):
            cells = stored(path)
            size = {**self.grid.stored, "batch": min(self.grid.stored["batch"], len(cells.codes))}
            config = Config(cells.counts.shape[1], n_classes=cells.n_classes, **size)
            yield from self._phases(cells, config, ("tabnet", "topk"))

    def memory(self) -> Iterator[Result]:
        """Extra peak memory."""
        for config in self.grid.memory:
            for who in ("ours", "tabnet"):
                yield call("memory", config=asdict(config), who=who, threads=self.threads)

    def epochs(self) -> Iterator[Result]:
        """Training and annotation as users run them, beside scsims."""
        for each in self.grid.epochs:
            if machine.available() < 4 * each.n_genes**2 * 3:
                yield {**asdict(each), "missing": "not enough memory for scsims' identity matrices"}
                continue
            found = epochs.measure(
                planted(each.n_cells, each.n_genes),
                width=each.width,
                clock=self.clock,
                rounds=self.grid.epoch_rounds,
                scsims_cells=each.scsims_cells,
                small_cells=each.small_cells,
            )
            yield from found

    def construct(self) -> Iterator[Result]:
        """Building a network."""
        for n_genes in self.grid.construct:
            for who in ("ours", "tabnet"):
                shared = {"who": who, "n_genes": n_genes, "width": 64}
                if who == "tabnet" and machine.available() < 2 * 4 * n_genes**2:
                    yield {**shared, "missing": f"{4 * n_genes**2 / GIGABYTE:.1f} GB for the identity matrix"}
                else:
                    yield call("construct", **shared)

    def train(self) -> Iterator[Result]:
        """A whole training run, what could be trained instead, and annotation with what was trained."""
        with tempfile.TemporaryDirectory() as folder:
            path, model = str(Path(folder) / "reference.h5ad"), str(Path(folder) / "model")
            whole.write_cells(path, *self.grid.train)
            shared = {"path": path, "threads": self.threads}
            for i, options in enumerate(self.grid.train_options):
                saved = {} if i else {"save": model}
                yield {"who": "ours", **call("train", limit=self.grid.train_limit, **shared, **options, **saved)}
            limit = {"limit": self.grid.limit}
            yield {"who": "LogisticRegression", **call("logistic_regression", **shared, **limit)}
            yield {"who": "CellTypist", **call("celltypist", **shared, **limit)}
            yield {"who": "CellTypist, quick", **call("celltypist", quick=True, **shared, **limit)}
            n_cells, n_genes = self.grid.annotate[-1]
            found = call("annotate", n_cells=n_cells, n_genes=n_genes, threads=self.threads, model=model)
            yield {"section": "annotate", **found}

    def annotate(self) -> Iterator[Result]:
        """Annotation of many cells with masks."""
        for n_cells, n_genes in self.grid.annotate:
            yield call("annotate", n_cells=n_cells, n_genes=n_genes, threads=self.threads)

    def _phases(self, cells: Cells, config: Config, rivals: tuple[str, ...]) -> Iterator[Result]:
        contest = phases.contest_on(cells, config, rivals=rivals, clock=self.clock)
        for result in phases.measure(contest, rounds=self.grid.rounds, budget=self.grid.budget):
            yield {"data": cells.name, **result}


SECTIONS = ("phases", "kept", "stored", "memory", "epochs", "construct", "train", "annotate")


def record(section: str, results: Callable[[], Iterator[Result]], write: Callable[[Result], None]) -> None:
    """Write the results of a section as they come; a failure is written, too, and ends the section."""
    start = time.perf_counter()
    try:
        for result in results():
            write({"section": section, **result})
    except Exception as error:  # noqa: BLE001 - a long run goes on with its next section
        traceback.print_exc()
        write({"section": section, "missing": f"{type(error).__name__}: {error}"})
    write({"section": "took", "of": section, "seconds": time.perf_counter() - start})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--grid", choices=GRIDS, default="quick")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of both sides; default: all cores")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu: CPU time of one thread")
    parser.add_argument("--data", type=Path, nargs="*", default=[], help=".h5ad files, or folders of them")
    chosen = parser.parse_args()
    threads = 1 if chosen.clock == "cpu" else chosen.threads
    quiet()
    set_threads(threads)
    run = Run(GRIDS[chosen.grid], threads=threads, clock=chosen.clock, data=chosen.data)
    with chosen.out.open("w") as file:

        def write(result: Result) -> None:
            file.write(json.dumps(result) + "\n")
            file.flush()
            print(short(result), flush=True)

        write({"section": "machine", "kind": "main", "grid": chosen.grid, **machine.describe(threads, chosen.clock)})
        write({"section": "speed", **floors.machine_speed()})
        for section in chosen.sections:
            record(section, getattr(run, section), write)
        write({"section": "speed", **floors.machine_speed()})


def quiet() -> None:
    """No progress bars, hints or warnings of the libraries between the results."""
    import logging

    warnings.filterwarnings("ignore")
    for name in ("lightning.pytorch", "lightning", "sims_tools", "scvi"):
        logging.getLogger(name).setLevel(logging.ERROR)


if __name__ == "__main__":
    main()
