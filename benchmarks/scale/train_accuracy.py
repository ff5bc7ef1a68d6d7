"""How right streams are: `python -m benchmarks.scale.train accuracy`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
from benchmarks.accuracy.splits import stratified
from sklearn.metrics import f1_score

import sims_tools as sims
import sims_tools.data._stream as stream_defaults

from .train_job import LABEL, measured

PLANTED = "planted_"
_MOST_TESTED = 20_000


def accuracy(
    data: Path | None, sets: list[str], seeds: list[int], *, share: float, chunk: int, epochs: int | None
) -> None:
    """Print macro F1 on held-out cells, in memory and streamed.

    Parameters
    ----------
    data, sets
        Folder, and names of files in it; "planted_300000" are so many planted cells.
    seeds
        Of split and training.
    share
        Of the training cells, that are in memory at a time; 0 leaves the choice to the stream.
    chunk
        Cells of a chunk of the files; 0 writes them without chunks.
    epochs
        None is what the preset takes.
    """
    print("| set | training cells | in memory | stream, random order | stream, sorted by class |\n" + "|" + "---|" * 5)
    for name in sets:
        whole = labelled_cells(name, data)
        scores: dict[str, list[float]] = {"memory": [], "random": [], "sorted": []}
        for seed in seeds:
            n_train = _score(whole, seed, share, chunk, {} if epochs is None else {"max_epochs": epochs}, scores)
        told = [f"{np.mean(found):.3f} ± {np.std(found):.3f}" for found in scores.values()]
        print(f"| {name} | {n_train} | {' | '.join(told)} |", flush=True)


def labelled_cells(name: str, data: Path | None) -> ad.AnnData:
    """A set of the folder, or planted cells of 20 classes, of which the largest is 70 times the smallest."""
    if name.startswith(PLANTED):
        planted: dict[str, Any] = {"n_genes": 200, "n_classes": 20, "n_markers": 5, "fold": 5.0, "mean_total": 1000.0}
        return sims.data.planted_cells(int(name.removeprefix(PLANTED)), weights=0.8 ** np.arange(20), **planted)
    if data is None:
        raise ValueError(f"Say where `{name}` is with `--data`.")
    return ad.read_h5ad(data / f"{name}.h5ad")


def _score(
    whole: ad.AnnData, seed: int, share: float, chunk: int, run: dict[str, Any], scores: dict[str, list[float]]
) -> int:
    """Train three times on some of the cells, and score on the others; the number of training cells comes back."""
    train, test = stratified(whole.obs[LABEL].astype(str).to_numpy(), seed)
    rng = np.random.default_rng(seed)
    train, test = rng.permutation(train), rng.permutation(test)[:_MOST_TESTED]
    by_class = train[np.argsort(whole.obs[LABEL].cat.codes.to_numpy()[train], kind="stable")]
    with tempfile.TemporaryDirectory() as folder:
        paths = {order: Path(folder) / f"{order}.h5ad" for order in ("random", "sorted")}
        for order, rows in (("random", train), ("sorted", by_class)):
            _write(whole[rows].copy(), paths[order], chunk)
        for kind, order in (("memory", "random"), ("random", "random"), ("sorted", "sorted")):
            with buffer_of(int(share * len(train))):
                model, _ = measured(paths[order], stream=kind != "memory", random_state=seed, **run)
            query = whole[test].copy()
            sims.tl.annotate(query, model, progress_bar=False)
            truth, calls = (query.obs[column].astype(str) for column in (LABEL, "sims"))
            scores[kind].append(f1_score(truth, calls, average="macro"))
    return len(train)


def _write(cells: ad.AnnData, path: Path, chunk: int) -> None:
    cells.write_h5ad(path)
    if chunk:
        values = chunk * cells.X.nnz // cells.n_obs
        with h5py.File(path, "r+") as root:
            del root["X"]
            ad.io.write_elem(root, "X", cells.X, dataset_kwargs={"chunks": (values,)})


@contextmanager
def buffer_of(n_cells: int) -> Iterator[None]:
    """Streams with so many cells in memory; with 0, as many as ever."""
    before = stream_defaults._MOST_CELLS, stream_defaults._SMALLEST_BUFFER
    if n_cells:
        stream_defaults._MOST_CELLS = stream_defaults._SMALLEST_BUFFER = n_cells
    try:
        yield
    finally:
        stream_defaults._MOST_CELLS, stream_defaults._SMALLEST_BUFFER = before
