"""Measure: `python -m benchmarks.cite.run --data FOLDER --out FILE`. One JSON line for each result; a run goes on."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.accuracy import lines
from benchmarks.accuracy.scores import score
from benchmarks.accuracy.splits import stratified
from benchmarks.speed import machine
from mudata import MuData
from sklearn.metrics import silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from .cells import OTHER_PANEL, PAIRED, PLANTED, PROTEIN, PROTEIN_ONLY, QUERIES, RNA, RNA_ONLY, load, take
from .methods import METHODS, Method

SPLIT = "70/30"
NEIGHBOURS = 15


def measure(which: str, mdata: MuData, labels: np.ndarray, seed: int) -> Iterator[dict[str, Any]]:
    """One line for each query that the method can read."""
    train, test = stratified(labels, seed)
    method = METHODS[which][1](seed)
    start = time.perf_counter()
    reference = take(mdata, train)
    classes = method.fit(reference, labels[train])
    seconds = time.perf_counter() - start
    cells = take(mdata, test)
    for task, alter in QUERIES.items():
        if not _reads(method, task):
            continue
        prob = method.predict_proba(alter(cells, seed))
        found = score(prob, np.asarray(classes).astype(str), labels[test], labels[train])
        own = _of_latent(method, reference, cells, labels[train], labels[test]) if task == PAIRED else {}
        yield {"task": task, "level": None, "train_seconds": seconds, **found, **own, **method.notes()}


def _reads(method: Method, task: str) -> bool:
    """Whether the query has what the method reads, and differs for it from the paired one."""
    if task in (RNA_ONLY, PROTEIN_ONLY):
        return method.does_with_one and method.reads == (RNA, PROTEIN)
    return task != OTHER_PANEL or PROTEIN in method.reads


def _of_latent(
    method: Method, reference: MuData, cells: MuData, known: np.ndarray, truth: np.ndarray
) -> dict[str, float]:
    """How well classes lie apart, and labels that the nearest training cells pass on."""
    here, there = method.latent(cells), method.latent(reference)
    if here is None or there is None:
        return {}
    passed = KNeighborsClassifier(NEIGHBOURS).fit(there, known).predict(here)
    return {"silhouette": float(silhouette_score(here, truth)), "passed_on": float((passed == truth).mean())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder of the stored sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sets", nargs="+", default=[PLANTED, "pbmc_citeseq_inhouse"])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    done = {(each["set"], each["seed"], each["method"]) for each in lines.scores(lines.read(chosen.out))}
    write = lines.Writer(chosen.out)
    write(lines.MACHINE, machine.describe(chosen.threads, "wall"))
    for name in chosen.sets:
        mdata, labels = load(name, chosen.data)
        for seed in chosen.seeds:
            for which in chosen.methods:
                if (name, seed, which) in done:
                    continue
                about = {"set": name, "split": SPLIT, "seed": seed, "method": which}
                for line in measure(which, mdata, labels, seed):
                    write(lines.SCORE, {**about, **line})
                    print(f"{name}, seed {seed}, {line['task']}: {which}: macro F1 {line['macro_f1']:.3f}", flush=True)


if __name__ == "__main__":
    main()
