"""Annotate planted stores of several sizes: `python -m benchmarks.scale.annotate --out FILE --folder FOLDER`.

Prints and writes one JSON line a result. Each annotation is a process of its own, whose memory is watched with that of
all it starts. Stores are made in the folder, see `store.py`, unless they are there already (`--keep` leaves them).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.accuracy.lines import Writer
from benchmarks.speed import machine

import sims_tools as sims

from .annotate_job import MARK
from .cells import PlantedStore
from .store import size_on_disk, write_store
from .tree_memory import watch

MODES = ("processes:1", "processes:2", "dask:1", "dask:2", "dask:4")


def trained(planted: PlantedStore, n_cells: int, folder: Path) -> Path:
    """A model of the planted types, trained on cells that are in no store."""
    path = folder / "model"
    if not path.exists():
        model = sims.tl.sims_train(planted.sample(n_cells), "cell_type", progress_bar=False)
        model.save(path)
    return path


def stores(chosen: argparse.Namespace, planted: PlantedStore) -> Iterator[tuple[Path, dict[str, Any]]]:
    """A store of each size, and what it is; deleted when the next is asked for."""
    for n_cells in chosen.cells:
        path = chosen.folder / f"planted_{n_cells}.{chosen.format}"
        if not path.exists():
            write_store(path, planted, n_cells, compression=chosen.compression)
        size = size_on_disk(path)
        yield path, {"n_genes": chosen.genes, "format": chosen.format, "compression": chosen.compression, "size": size}
        if not chosen.keep:
            delete(path)


def delete(path: Path) -> None:
    subprocess.run(["rm", "-rf", str(path)], check=True)


def measure(**arguments: Any) -> dict[str, Any]:
    """One annotation, with the peak memory of all its processes."""
    command = [sys.executable, "-m", "benchmarks.scale.annotate_job", json.dumps(arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak, looks = watch(process)
    out, errors = process.communicate()
    found = [line.removeprefix(MARK) for line in out.splitlines() if line.startswith(MARK)]
    if process.returncode or not found:
        raise RuntimeError(f"The annotation ended with status {process.returncode}:\n{errors}")
    return {**json.loads(found[-1]), "peak_memory": peak, "looks": looks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for stores and the model")
    parser.add_argument("--cells", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--mode", nargs="+", default=list(MODES), help="processes:N or dask:N")
    parser.add_argument("--masks", default="full")
    parser.add_argument("--parts", type=int, default=65_536, help="rows of a part")
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--values", type=int, default=600, help="stored values of a cell, about")
    parser.add_argument("--distinct", type=int, default=16, help="blocks of 8,192 cells that differ")
    parser.add_argument("--format", choices=("h5ad", "zarr"), default="h5ad")
    parser.add_argument("--compression", choices=("lzf", "gzip", "zstd"))
    parser.add_argument("--training-cells", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", action="store_true", help="leave the stores where they are")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    planted = PlantedStore(chosen.genes, chosen.values, chosen.distinct, chosen.seed)
    model = trained(planted, chosen.training_cells, chosen.folder)
    import torch

    chosen.out.unlink(missing_ok=True)
    put = Writer(chosen.out, prints=True)
    put("machine", {"kind": "scale", **machine.describe(torch.get_num_threads(), "wall")})
    for path, about in stores(chosen, planted):
        for mode in chosen.mode:
            kind, n = mode.split(":")
            how = {"mode": kind, "n": int(n), "masks": chosen.masks, "part_size": chosen.parts}
            put("annotate", {**measure(store=str(path), model=str(model), **how), **about})


if __name__ == "__main__":
    main()
