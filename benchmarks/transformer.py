"""The transformer measured: `python -m benchmarks.transformer speed`, or `accuracy --data FILE.h5ad`.

`speed` times a training step and annotation on made-up counts, each case in a process of its own, and says by how much
the process grew. `accuracy` follows the notebook: 70 % of each class train, 10 % judge epochs, 20 % test, scored by
macro F1 and accuracy beside logistic regression and a random forest on the same cells and genes. Both print one JSON
line for each result.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import anndata as ad
import numpy as np
import scanpy as sc
import torch
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score

import sims_tools as sims
from sims_tools.data._split import stratified_split
from sims_tools.nn import TransformerNetwork

N_GENES, EXPRESSED = 1200, 0.12
"""Genes of the default, and the share of them that a droplet of blood expresses, about."""

CASES = {
    "default, training": {"training": True},
    "default, no attention dropout, training": {"training": True, "attention_dropout": 0.0},
    "fast, training": {"training": True, "attention_dropout": 0.0, "nonzero_only": True},
    "default, annotation": {},
    "default, annotation and attention": {"explain": True},
    "fast, annotation": {"nonzero_only": True},
    "fast, annotation and attention": {"nonzero_only": True, "explain": True},
}


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    speed = what.add_parser("speed")
    speed.add_argument("--case", choices=CASES)
    speed.add_argument("--threads", type=int, default=1)
    speed.add_argument("--cells", type=int, default=32, help="of a minibatch")
    accuracy = what.add_parser("accuracy")
    accuracy.add_argument("--data", required=True)
    accuracy.add_argument("--presets", nargs="*", default=["fast"])
    accuracy.add_argument("--seeds", type=int, nargs="+", default=[0])
    accuracy.add_argument("--peers", action="store_true")
    accuracy.add_argument("--set", type=json.loads, default={}, help="JSON: parameters that overrule the preset")
    asked = parser.parse_args()
    if asked.what == "accuracy":
        measure_accuracy(asked)
    elif asked.case is None:
        for case in CASES:
            command = [sys.executable, "-m", "benchmarks.transformer", "speed", "--case", case]
            subprocess.run([*command, "--threads", str(asked.threads), "--cells", str(asked.cells)], check=True)
    else:
        show(measure_speed(asked.case, asked.cells, asked.threads))


def show(line: dict[str, Any]) -> None:
    """Print a result."""
    print(json.dumps(line), flush=True)


def measure_speed(case: str, n_cells: int, threads: int) -> dict[str, Any]:
    """Cells a second of CPU time, which others on the machine change little, and megabytes that the process grew by."""
    torch.set_num_threads(threads)
    options = dict(CASES[case])
    training, explain = options.pop("training", False), options.pop("explain", False)
    torch.manual_seed(0)
    network = TransformerNetwork(N_GENES, 11, **options).train(training)
    expressed = torch.rand(n_cells, N_GENES) < EXPRESSED
    x = torch.log1p(torch.poisson(torch.full(expressed.shape, 3.0)) * expressed)
    before = _peak()
    _step(network, x[:1], training=training, explain=explain)
    start = time.process_time()
    _step(network, x, training=training, explain=explain)
    seconds = time.process_time() - start
    facts = {"case": case, "cells": n_cells, "threads": threads, "tokens": float((x > 0).sum(1).float().mean())}
    return facts | {"cells_per_cpu_s": round(n_cells / seconds, 2), "grew_mb": round(_peak() - before)}


def _step(network: TransformerNetwork, x: torch.Tensor, *, training: bool, explain: bool) -> None:
    with torch.set_grad_enabled(training):
        output = network(x, explain=explain)
    if training:
        output.logits.logsumexp(1).sum().backward()


def _peak() -> float:
    """Largest resident memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_accuracy(asked: argparse.Namespace) -> None:
    """The notebook's protocol on one file."""
    cells = ad.read_h5ad(asked.data)
    labels = cells.obs["cell_type"].astype(str).to_numpy()
    for seed in asked.seeds:
        rest, test = stratified_split(np.unique(labels, return_inverse=True)[1], 0.2, seed)
        for preset in asked.presets:
            reference, start = cells[rest].copy(), time.perf_counter()
            model = sims.tl.train(
                reference,
                "cell_type",
                model="cell_transformer",
                preset=preset,
                validation_size=0.125,
                random_state=seed,
                progress_bar=False,
                **asked.set,
            )
            seconds = time.perf_counter() - start
            found = model.predict(cells[test].copy())
            facts = {"epochs": len(model.history_by_epoch["epoch"]), "best": model.best_epoch_, "changes": asked.set}
            facts |= {"validation": [round(x, 3) for x in model.history_by_epoch["macro_f1_validation"]]}
            show(_scores(asked.data, seed, preset, labels[test], found) | {"train_s": round(seconds, 1)} | facts)
        if asked.peers:
            genes = reference.uns["cell_transformer"]["features"] if asked.presets else cells.var_names
            _peers(asked.data, cells, labels, rest, test, list(genes), seed)


def _peers(
    data: str, cells: ad.AnnData, labels: np.ndarray, rest: np.ndarray, test: np.ndarray, genes: list[str], seed: int
) -> None:
    """The notebook's baselines, on log1p CP10K of the same genes."""
    values = cells.copy()
    sc.pp.normalize_total(values, target_sum=1e4)
    sc.pp.log1p(values)
    values = values[:, genes].X
    peers = {
        "logistic regression": LogisticRegression(C=0.1, max_iter=300, class_weight="balanced", random_state=seed),
        "random forest": RandomForestClassifier(100, class_weight="balanced", random_state=seed),
    }
    for name, peer in peers.items():
        found = peer.fit(values[rest], labels[rest]).predict(values[test])
        show(_scores(data, seed, name, labels[test], found))


def _scores(data: str, seed: int, method: str, true: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    scores = {"macro_f1": f1_score(true, found, average="macro"), "accuracy": accuracy_score(true, found)}
    rounded = {name: round(float(value), 3) for name, value in scores.items()}
    return {"set": data.rsplit("/", 1)[-1], "seed": seed, "method": method, **rounded}


if __name__ == "__main__":
    main()
