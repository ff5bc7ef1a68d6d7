"""Can masks be believed? `python -m benchmarks.accuracy.masks --data FOLDER --out FILE`.

Train on 70 % of the cells of each class, with several seeds, annotate the others and ask `tl.evaluate_masks`. Appends a
JSON line for each set at once, goes on where it was stopped, and prints a table of what the file holds.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.speed.markdown import paragraphs, table

import sims_tools as sims

from .sets import LabelledSet
from .splits import stratified
from .study import Line, Study, parser

KEY, LABELS = "sims", "labels"
N_GENES = 20
RANKINGS = {"masks": "masks", "logistic": "logistic regression", "differential": "rank-sum test"}
CONTROLS = {"random": "random", "matched": "random, expressed alike", "cell_masks": "the cell's own mask"}


def about(cells: LabelledSet, chosen: argparse.Namespace) -> list[Line]:
    """One answer for each set and seed."""
    return [{"n_models": chosen.models}]


def measure(cells: LabelledSet, asked: Line) -> Line:
    """Accuracy after genes are taken away, stability over seeds, agreement with the rank-sum test."""
    train, test = stratified(cells.labels, asked["seed"])
    models = [_train(cells, train, asked["seed"] + 1000 * i, asked["recipe"]) for i in range(asked["n_models"])]
    query = cells.cells.take(test).adata()
    query.obs[LABELS] = cells.labels[test]
    sims.tl.annotate(query, models[0], progress_bar=False, key_added=KEY)
    options: dict[str, Any] = {"n_genes": (5, N_GENES), "retrained": models[1:] or None, "progress_bar": False}
    sims.tl.evaluate_masks(query, models[0], LABELS, key=KEY, random_state=0, **options)
    found = query.uns[KEY]["mask_quality"]
    return {**_faithful(found["faithfulness"]), **_others(found), "n_test": len(test)}


def _train(cells: LabelledSet, train: np.ndarray, seed: int, recipe: dict[str, Any]) -> Any:
    reference = cells.cells.take(train).adata()
    reference.obs[LABELS] = cells.labels[train]
    usual = {"accelerator": "cpu", "progress_bar": False, "random_state": seed}
    return sims.tl.sims_train(reference, LABELS, **{**usual, **recipe})


def _faithful(frame: pd.DataFrame) -> Line:
    untouched = float(frame.loc[frame["action"] == "none", "accuracy"].mean())
    chosen = frame[frame["n_genes"] == N_GENES]
    means = chosen.groupby(["action", "ranking"], observed=True)["accuracy"].mean()
    return {"untouched": untouched, **{f"{action} {name}": float(value) for (action, name), value in means.items()}}


def _others(found: dict[str, pd.DataFrame]) -> Line:
    agreement = found["agreement"]
    agreement = agreement[agreement["source"] == "differential"]
    stable = found.get("stability")
    return {
        "auroc": float(agreement["auroc"].mean()),
        "jaccard": None if stable is None else float(stable["jaccard"].mean()),
        "spearman": None if stable is None else float(stable["spearman"].mean()),
    }


def summarise(found: list[Line]) -> str:
    """Means over seeds: a row for each set, and one for all."""
    frame = pd.DataFrame(found).groupby("set").mean(numeric_only=True)
    frame.loc["mean over sets"] = frame.mean()
    names = {**RANKINGS, **CONTROLS}
    deleted = [f"deleted {name}" for name in names]
    kept = [f"kept {name}" for name in names]
    rest = {"jaccard": "Jaccard, 20 genes", "spearman": "rank correlation", "auroc": "AUROC of markers"}
    return paragraphs(
        "Accuracy with the first 20 genes of each list deleted:",
        _table(frame, ["untouched", *deleted], ["untouched", *names.values()]),
        "Accuracy with nothing but these:",
        _table(frame, kept, list(names.values())),
        "Stability over seeds, and agreement with the genes of a rank-sum test:",
        _table(frame, list(rest), list(rest.values())),
    )


def _table(frame: pd.DataFrame, columns: list[str], head: list[str]) -> str:
    there = [(column, name) for column, name in zip(columns, head, strict=True) if column in frame]
    rows = [[str(name), *(f"{values[column]:.3f}" for column, _ in there)] for name, values in frame.iterrows()]
    return table(["set", *(name for _, name in there)], rows)


STUDY = Study("masks", about, measure, summarise, "deleted masks")


def main(given: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--models", type=int, default=3, help="models of different seeds")
    STUDY.run(arguments.parse_args(given))


if __name__ == "__main__":
    main()
