"""Training from disk beside training in memory.

`python -m benchmarks.scale.train speed --cells 100000` makes a planted store of so many cells as `.h5ad` and as
sharded `.zarr`, in a temporary folder or in `--folder`, where it is found again, and trains one epoch from each: in
memory, and as a stream.

`python -m benchmarks.scale.train accuracy --data FOLDER --sets a b` writes sets of the folder to a file, in random
order and sorted by class, trains in memory and as a stream, and scores cells that were held out (30 % of each class).

Seconds are those of the epochs, from the first minibatch to the last validation cell; what comes before and after is
printed by itself. Memory is what the process takes on top of what it took before.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
from benchmarks.accuracy.splits import stratified
from benchmarks.speed.watermark import Watermark
from lightning.pytorch.callbacks import Callback
from sklearn.metrics import f1_score

import sims_tools as sims
import sims_tools.data._stream as stream_defaults

from .cells import PlantedStore
from .store import size_on_disk, write_store

LABEL = "cell_type"


class Clock(Callback):
    """When epochs begin and end."""

    def on_train_start(self, *_: Any) -> None:
        self.begin = time.perf_counter()

    def on_train_end(self, *_: Any) -> None:
        self.end = time.perf_counter()


def measured(path: Path, **run: Any) -> tuple[Any, dict[str, float]]:
    """A model, and seconds and memory of its training."""
    clock = Clock()
    with Watermark() as memory:
        start = time.perf_counter()
        model = sims.tl.sims_train(path, LABEL, callbacks=clock, progress_bar=False, **run)
        whole = time.perf_counter() - start
    peak = float("nan") if memory.extra is None else memory.extra / 1e9
    return model, {"whole": whole, "epochs": clock.end - clock.begin, "peak": peak}


def speed(folder: Path, n_cells: int, values: int, epochs: int, genes: int | None) -> None:
    print(
        "| store | GB | cells are | cells/s in epochs | seconds before and after | extra memory, GB |\n"
        + "|"
        + "---|" * 6
    )
    for suffix, packed in ((".h5ad", None), (".zarr", "zstd")):
        path = folder / f"cells_{n_cells}{suffix}"
        if not path.exists():
            write_store(path, PlantedStore(20_000, values, 16, 0), n_cells, compression=packed)
        for streams in (False, True):
            model, found = measured(path, stream=streams, max_epochs=epochs, n_members=1, n_top_genes=genes)
            n_train = epochs * int((model.split_["split"] == "train").sum())
            where = "streamed" if streams else "in memory"
            before = found["whole"] - found["epochs"]
            print(
                f"| {suffix} | {size_on_disk(path) / 1e9:.2f} | {where} | {n_train / found['epochs']:,.0f} | "
                f"{before:.0f} | {found['peak']:.2f} |",
                flush=True,
            )


@contextmanager
def buffer_of(n_cells: int | None) -> Iterator[None]:
    """Streams with so many cells in memory, where it is said."""
    before = stream_defaults._MOST_CELLS, stream_defaults._SMALLEST_BUFFER
    if n_cells is not None:
        stream_defaults._MOST_CELLS = stream_defaults._SMALLEST_BUFFER = n_cells
    try:
        yield
    finally:
        stream_defaults._MOST_CELLS, stream_defaults._SMALLEST_BUFFER = before


def accuracy(data: Path, sets: list[str], seeds: list[int], share: float) -> None:
    print("| set | training cells | in memory | stream, random order | stream, sorted by class |\n" + "|" + "---|" * 5)
    with tempfile.TemporaryDirectory() as name:
        for each in sets:
            scores: dict[str, list[float]] = {"memory": [], "random": [], "sorted": []}
            whole = ad.read_h5ad(data / f"{each}.h5ad")
            for seed in seeds:
                train, test = stratified(whole.obs[LABEL].astype(str).to_numpy(), seed)
                train = np.random.default_rng(seed).permutation(train)
                by_class = train[np.argsort(whole.obs[LABEL].cat.codes.to_numpy()[train], kind="stable")]
                for order, rows in (("random", train), ("sorted", by_class)):
                    whole[rows].copy().write_h5ad(Path(name) / f"{order}.h5ad")
                for kind, order in (("memory", "random"), ("random", "random"), ("sorted", "sorted")):
                    streams = kind != "memory"
                    with buffer_of(int(share * len(train))):
                        model, _ = measured(Path(name) / f"{order}.h5ad", stream=streams, random_state=seed)
                    query = whole[test].copy()
                    sims.tl.annotate(query, model, progress_bar=False)
                    truth, calls = (query.obs[column].astype(str) for column in (LABEL, "sims"))
                    scores[kind].append(f1_score(truth, calls, average="macro"))
            told = [f"{np.mean(found):.3f} ± {np.std(found):.3f}" for found in scores.values()]
            print(f"| {each} | {len(train)} | {' | '.join(told)} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    fast = what.add_parser("speed")
    fast.add_argument("--cells", type=int, default=100_000)
    fast.add_argument("--values", type=int, default=600, help="stored values of a cell, about")
    fast.add_argument("--epochs", type=int, default=1)
    fast.add_argument("--genes", type=int, default=2000, help="genes to train on; 0 is all")
    fast.add_argument("--folder", type=Path)
    right = what.add_parser("accuracy")
    right.add_argument("--data", type=Path, required=True)
    right.add_argument("--sets", nargs="+", default=["pbmc_kang_ctrl_12k"])
    right.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    right.add_argument("--share", type=float, default=0.2, help="of the training cells that is in memory at a time")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    if chosen.what == "accuracy":
        accuracy(chosen.data, chosen.sets, chosen.seeds, chosen.share)
    elif chosen.folder is not None:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        speed(chosen.folder, chosen.cells, chosen.values, chosen.epochs, chosen.genes or None)
    else:
        with tempfile.TemporaryDirectory() as name:
            speed(Path(name), chosen.cells, chosen.values, chosen.epochs, chosen.genes or None)


if __name__ == "__main__":
    main()
