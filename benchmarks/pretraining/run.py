"""Measure: `python -m benchmarks.pretraining.run --data FOLDER --out FILE`. One JSON line a result; a run goes on.

Task "labels": 70 % of a set train, and a share of them has labels; the encoder is pretrained on all of them. Task
"study": a classifier of one study is trained further on a share of another's training cells.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.accuracy import lines, sets
from benchmarks.accuracy.cells import Cells
from benchmarks.accuracy.methods.logistic import LogisticRegressionAllGenes
from benchmarks.accuracy.scores import score
from benchmarks.accuracy.splits import stratified
from benchmarks.speed import machine

import sims_tools as sims

LABELS, STUDY = "labels", "study"
FEWEST_CELLS = 2
SETS = ("mouse_gut_mca_22types", "pbmc68k_reduced", "mouse_cortex_zeisel_200g")
PAIRS = (
    ("pancreas_wang_scclassify", "pancreas_xin_scclassify"),
    ("pancreas_xin_scclassify", "pancreas_wang_scclassify"),
)
SHARES = (0.01, 0.02, 0.05, 0.1)
ASK: dict[str, Any] = {"accelerator": "cpu", "progress_bar": False}


def some_of_each(labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Indices of a share of each class, of two cells of it at least."""
    rng = np.random.default_rng(seed)
    drawn = []
    for label in np.unique(labels):
        cells = rng.permutation(np.flatnonzero(labels == label))
        drawn.append(cells[: max(FEWEST_CELLS, round(share * len(cells)))])
    return np.sort(np.concatenate(drawn))


def annotated(model: Any, cells: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and classes."""
    adata = cells.adata()
    sims.tl.annotate(adata, model, progress_bar=False)
    return adata.obsm["sims_prob"], np.asarray(model.classes).astype(str)


def trained(cells: Cells, labels: np.ndarray, seed: int, **options: Any) -> Any:
    """A classifier."""
    adata = cells.adata()
    adata.obs["label"] = labels
    return sims.tl.sims_train(adata, "label", random_state=seed, **ASK, **options)


def logistic(cells: Cells, labels: np.ndarray, query: Cells) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and classes of a logistic regression."""
    method = LogisticRegressionAllGenes(0, 1)
    classes = method.fit(cells, labels)
    return method.predict_proba(query), np.asarray(classes).astype(str)


def measure(
    cells: Cells, labels: np.ndarray, seed: int, share: float, arms: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    """One line for each way to start."""
    train, test = stratified(labels, seed)
    few = train[some_of_each(labels[train], share, seed)]
    for name, start in arms.items():
        began = time.perf_counter()
        if name == "logistic":
            prob, classes = logistic(cells.take(few), labels[few], cells.take(test))
        else:
            options = start(train)
            fitted = options.pop("model", None) or trained(cells.take(few), labels[few], seed, **options)
            prob, classes = annotated(fitted, cells.take(test))
        never = np.setdiff1d(labels[test], classes)  # a classifier of another study does not know them
        prob = np.hstack([prob, np.zeros((len(prob), len(never)), prob.dtype)])
        found = score(prob, np.concatenate([classes, never]), labels[test], labels[few])
        seconds = time.perf_counter() - began
        yield {"method": name, "level": share, "n_labelled": len(few), "seconds": seconds, **found}


def main() -> None:
    """Run what is missing in the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the stored sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", default=[LABELS, STUDY], choices=[LABELS, STUDY])
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--shares", nargs="+", type=float, default=list(SHARES))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", help="of the ways to start; default: all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--pretrain", type=json.loads, default={}, help="options of tl.pretrain")
    parser.add_argument(
        "--train", type=json.loads, default={}, help="options of tl.sims_train where it starts from one"
    )
    parser.add_argument("--name", default="", help="put behind the name of the way to start, for such options")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    done = {lines.key(each) for each in lines.scores(lines.read(chosen.out))}
    write = lines.Writer(chosen.out)
    write(lines.MACHINE, machine.describe(chosen.threads, "wall"))
    for task, name, split, cells, labels, seed, arms in plans(chosen):
        for share in chosen.shares:
            ids = {"task": task, "set": name, "split": split, "seed": seed}
            wanted = {
                arm: start
                for arm, start in arms.items()
                if lines.key({**ids, "level": share, "method": arm}) not in done
                and (chosen.arms is None or arm in chosen.arms)
            }
            for line in measure(cells, labels, seed, share, wanted):
                write(lines.SCORE, {**ids, **line})


def plans(chosen: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Task, set, split, cells, labels, seed and ways to start."""
    for name in chosen.sets if LABELS in chosen.tasks else ():
        found = sets.read(sets.find(chosen.data, [name])[name])
        for seed in chosen.seeds:
            encoder = cache(partial(pretrained, found.cells, seed, json.dumps(chosen.pretrain)))
            arms = {
                "logistic": None,
                "scratch": lambda _: {},
                f"pretrained{chosen.name}": lambda train, e=encoder: {"init_from": e(tuple(train)), **chosen.train},
            }
            yield LABELS, name, "70/30", found.cells, found.labels, seed, arms
    for one, other in PAIRS if STUDY in chosen.tasks else ():
        first, second = (sets.read(sets.find(chosen.data, [each])[each]) for each in (one, other))
        for seed in chosen.seeds:
            known = cache(partial(trained, first.cells, first.labels, seed))
            arms = {
                "logistic": None,
                "scratch": lambda _: {},
                "as it is": lambda _, k=known: {"model": k()},
                f"fine-tuned{chosen.name}": lambda _, k=known: {"init_from": k(), **chosen.train},
            }
            yield STUDY, other, one, second.cells, second.labels, seed, arms


def pretrained(cells: Cells, seed: int, options: str, train: tuple[int, ...]) -> Any:
    """An encoder, trained on training cells without their labels."""
    return sims.tl.pretrain(cells.take(np.array(train)).adata(), random_state=seed, **ASK, **json.loads(options))


if __name__ == "__main__":
    main()
