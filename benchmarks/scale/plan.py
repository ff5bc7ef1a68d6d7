"""What a large atlas needs, reckoned from what was measured: `python -m benchmarks.scale.plan FILE... [--page PAGE]`.

Files are of `python -m benchmarks.scale.annotate`; of each kind the run with the most cells counts. A worker is a dask
worker of one thread, of the largest store only reading, appending and sizes are taken. Nothing is measured here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.speed.markdown import publish, table

from .report import Result, read


class PerCell(NamedTuple):
    """Of one cell: seconds of a worker and of the client, bytes, and the memory of one process."""

    reading: float
    computing: float
    writing: float
    committing: float
    stored: float
    parts: float
    growth: float
    memory: float


def per_cell(results: list[Result]) -> PerCell:
    """Computing and writing by one dask worker, of one thread; the rest of the largest store, by one process."""
    largest = {}
    for each in sorted(results, key=lambda each: each["n_cells"]):
        if each["n"] == 1:
            largest[each["mode"]] = each
    if missing := {"dask", "processes"} - largest.keys():
        raise ValueError(f"There is no run of one worker with {sorted(missing)}; measure it with `--mode`.")
    worker, large = largest["dask"], largest["processes"]
    computing, writing = (worker["of_workers"][name] / worker["n_cells"] for name in ("computing", "writing"))
    n_cells = large["n_cells"]
    reading, committing = large["of_workers"]["reading"] / n_cells, large["committing"] / n_cells
    sizes = (large[name] / n_cells for name in ("size", "part_bytes", "growth"))
    return PerCell(reading, computing, writing, committing, *sizes, large["peak_memory"])


def requirements(one: PerCell, n_cells: int, n_workers: int, n_gpus: int) -> str:
    """The table: each line a formula and its results."""
    moved, busy = one.reading + one.writing, one.reading + one.computing + one.writing
    cpu, gpu, free = (n_workers, busy), (n_gpus, busy), (n_gpus, moved)
    rows = []

    def line(what: str, formula: str, reckon: Callable[[int, float], str], *columns: tuple[int, float]) -> None:
        results = [reckon(*column) for column in columns]
        rows.append([what, formula, *[""] * (2 - len(results)), *results])

    line("time of the parts", "N (r + c + w) / W", lambda n, t: _hours(n_cells * t / n), cpu, gpu)
    line("the same, if computing took none", "N (r + w) / W", lambda n, t: _hours(n_cells * t / n), free)
    line("time of appending, by one process", "N k", lambda n, t: _hours(n_cells * one.committing), cpu, gpu)
    line("read from the store", "N s", lambda n, t: _bytes(n_cells * one.stored), cpu, gpu)
    line("read per second", "W s / (r + c + w)", lambda n, t: _rate(n * one.stored / t), cpu, gpu)
    line("the same, if computing took none", "W s / (r + w)", lambda n, t: _rate(n * one.stored / t), free)
    line("written per second", "W p / (r + c + w)", lambda n, t: _rate(n * one.parts / t), cpu, gpu)
    line("the same, if computing took none", "W p / (r + w)", lambda n, t: _rate(n * one.parts / t), free)
    line("disk for parts, freed at the end", "N p", lambda n, t: _bytes(n_cells * one.parts), cpu, gpu)
    line("growth of the store", "N g", lambda n, t: _bytes(n_cells * one.growth), cpu, gpu)
    line("memory of all workers", "W m", lambda n, t: _bytes(n * one.memory), cpu, gpu)
    return table((f"{n_cells:,} cells", "formula", f"{n_workers} CPU workers", f"{n_gpus} GPUs"), rows, numbers_from=2)


def measured(one: PerCell) -> str:
    """What the formulas are filled with."""
    lines = [
        ("r", "reading a cell", _micro(one.reading)),
        ("c", "computing it, with masks", _micro(one.computing)),
        ("w", "writing its part", _micro(one.writing)),
        ("k", "appending it to the store", _micro(one.committing)),
        ("s", "a cell in the store", f"{one.stored:,.0f} bytes"),
        ("p", "a cell in a part", f"{one.parts:,.0f} bytes"),
        ("g", "what a cell adds to the store", f"{one.growth:,.0f} bytes"),
        ("m", "peak memory of one process", _bytes(one.memory)),
    ]
    return table(("", "of one cell", "measured"), [list(each) for each in lines], numbers_from=2)


def _micro(seconds: float) -> str:
    return f"{seconds * 1e6:.1f} µs"


def _hours(seconds: float) -> str:
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _bytes(n: float) -> str:
    return f"{n / 1e9:,.1f} GB"


def _rate(n: float) -> str:
    return f"{n / 1e6:,.0f} MB/s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--cells", type=int, default=100_000_000)
    parser.add_argument("--workers", type=int, default=100)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--page", type=Path)
    chosen = parser.parse_args()
    one = per_cell(read(chosen.files)["annotate"])
    tables = {
        "plan measured": measured(one),
        "plan needs": requirements(one, chosen.cells, chosen.workers, chosen.gpus),
    }
    publish(tables, chosen.page)


if __name__ == "__main__":
    main()
