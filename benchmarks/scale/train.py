"""Training from disk beside training in memory.

`python -m benchmarks.scale.train speed --cells 100000` makes a planted store of so many cells as `.h5ad` and as
sharded `.zarr`, in a temporary folder or in `--folder`, where it is found again, and trains one epoch from each: in
memory, and as a stream. `--store` names stores that are there already. Each training has a process of its own, which
has trained on a few cells before.

`python -m benchmarks.scale.train accuracy --data FOLDER --sets a b` writes sets of the folder to a file, in random
order and sorted by class, trains in memory and as a stream, and scores cells that were held out (30 % of each class,
20,000 at most).

Seconds are those of the epochs, from the first minibatch to the last validation cell; what comes before and after is
printed by itself. Memory is what the process takes on top of what it took before, and all that it takes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

from .cells import PlantedStore
from .ddp_job import MARK
from .store import size_on_disk, write_store
from .train_accuracy import accuracy

STORES = ((".h5ad", None), (".zarr", "zstd"))
WAYS = ("in memory", "streamed")


def speed(stores: list[Path], ways: list[str], rounds: int, **run: Any) -> None:
    """Print how quick trainings from stores are."""
    columns = "store", "GB", "cells are", "cells/s in epochs", "seconds before and after", "extra GB", "peak GB"
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for path in stores:
        for _ in range(rounds):
            for way in ways:
                found = in_a_process({"path": str(path), "stream": way == "streamed", **run})
                print(
                    f"| {path.name} | {size_on_disk(path) / 1e9:.2f} | {way} | {found['cells'] / found['epochs']:,.0f} "
                    f"| {found['before_and_after']:.0f} | {found['extra']:.2f} | {found['peak']:.2f} |",
                    flush=True,
                )


def in_a_process(job: dict[str, Any]) -> dict[str, float]:
    """What one training measured."""
    command = [sys.executable, "-m", "benchmarks.scale.train_job", json.dumps(job)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line.partition(MARK)[2] for line in done.stdout.splitlines() if MARK in line]
    if done.returncode or not found:
        raise RuntimeError(f"The training ended with status {done.returncode}:\n{done.stderr}")
    return json.loads(found[-1])


def planted_stores(folder: Path, n_cells: int, values: int) -> list[Path]:
    """Stores of so many cells, made where they are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for suffix, packed in STORES:
        paths.append(folder / f"cells_{n_cells}{suffix}")
        if not paths[-1].exists():
            write_store(paths[-1], PlantedStore(20_000, values, 16, 0), n_cells, compression=packed)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    fast = what.add_parser("speed")
    fast.add_argument("--cells", type=int, default=100_000)
    fast.add_argument("--values", type=int, default=600, help="stored values of a cell, about")
    fast.add_argument("--epochs", type=int, default=1)
    fast.add_argument("--genes", type=int, default=2000, help="genes to train on; 0 is all")
    fast.add_argument("--folder", type=Path)
    fast.add_argument("--store", type=Path, nargs="+", help="stores that are there, in place of planted ones")
    fast.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    fast.add_argument("--rounds", type=int, default=1)
    right = what.add_parser("accuracy")
    right.add_argument("--data", type=Path)
    right.add_argument("--sets", nargs="+", default=["pbmc_kang_ctrl_12k"], help="files, or planted_NUMBER")
    right.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    right.add_argument(
        "--share", type=float, default=0.2, help="of the training cells, in memory at a time; 0: default"
    )
    right.add_argument("--chunk", type=int, default=0, help="cells of a chunk of the files; 0 is no chunks")
    right.add_argument("--epochs", type=int)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.what == "accuracy":
        accuracy(chosen.data, chosen.sets, chosen.seeds, share=chosen.share, chunk=chosen.chunk, epochs=chosen.epochs)
        return
    run = {"max_epochs": chosen.epochs, "n_top_genes": chosen.genes or None}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if chosen.folder is None else chosen.folder
        stores = chosen.store or planted_stores(folder, chosen.cells, chosen.values)
        speed(stores, chosen.ways, chosen.rounds, **run)


if __name__ == "__main__":
    main()
