"""Is a new cell type noticed? `python -m benchmarks.accuracy.novelty --data FOLDER --out FILE`.

Leave one class out: train on 70 % of the cells of all other classes, annotate the rest of them and all cells of the
class that was left out. Appends a JSON line for each class at once, goes on where it was stopped, and prints a table of
what the file holds.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import pandas as pd
from benchmarks.speed.markdown import table
from sklearn.metrics import roc_auc_score

import sims_tools as sims
from sims_tools.confidence import Energy

from .sets import LabelledSet
from .splits import stratified
from .study import Line, Study, parser

FEWEST_CELLS = 10
REJECT = 0.05
KEY, LABELS = "sims", "labels"
SCORES = {
    "novelty": "ours",
    "neighbors": "ours with neighbors",
    "probability": "largest probability",
    "energy": "energy of the logits",
}

REJECTING = ("novelty", "neighbors")


def classes_of(cells: LabelledSet, most: int | None) -> list[str]:
    """Classes to leave out: those of ten cells or more; evenly spaced ones by name where `most` is fewer."""
    names, sizes = np.unique(cells.labels, return_counts=True)
    names = names[sizes >= FEWEST_CELLS]
    if most is not None and most < len(names):
        names = names[np.unique(np.linspace(0, len(names) - 1, most).astype(int))]
    return [str(name) for name in names]


def about(cells: LabelledSet, chosen: argparse.Namespace) -> list[Line]:
    """One answer for each class that is left out."""
    return [{"class": name} for name in classes_of(cells, chosen.max_classes)]


def measure(cells: LabelledSet, asked: Line) -> Line:
    """AUROC of each score for one class that was left out, and how many cells are rejected."""
    novel, seed = asked["class"], asked["seed"]
    known = np.flatnonzero(cells.labels != novel)
    train, test = (known[part] for part in stratified(cells.labels[known], seed))
    reference = cells.cells.take(train).adata()
    reference.obs[LABELS] = cells.labels[train]
    usual = {"accelerator": "cpu", "progress_bar": False, "random_state": seed}
    start = time.perf_counter()
    model = sims.tl.sims_train(reference, LABELS, **{**usual, **asked["recipe"]})
    took = time.perf_counter() - start
    asked = np.concatenate([test, np.flatnonzero(cells.labels == novel)])
    query = cells.cells.take(asked).adata()
    is_novel, scores, rejected = cells.labels[asked] == novel, {}, {}
    for name, by in (("neighbors", "neighbors"), ("novelty", "cell")):
        sims.tl.annotate(query, model, masks=False, reject=REJECT, reject_by=by, progress_bar=False, key_added=KEY)
        scores[name] = query.obs[f"{KEY}_novelty"].fillna(1.0).to_numpy()
        rejected[name] = (query.obs[KEY] == "Unknown").to_numpy()
    scores |= {
        "probability": -query.obs[f"{KEY}_confidence"].to_numpy(),
        "energy": Energy().score(np.concatenate([each.logits for each in model.infer(query)])),
    }
    return {
        **{name: float(roc_auc_score(is_novel, each)) for name, each in scores.items()},
        **{f"{name}_known": float(each[~is_novel].mean()) for name, each in rejected.items()},
        **{f"{name}_novel": float(each[is_novel].mean()) for name, each in rejected.items()},
        "n_train": len(train),
        "n_known": len(test),
        "n_novel": int(is_novel.sum()),
        "train_seconds": took,
    }


def summarise(found: list[Line]) -> str:
    """Means over classes and seeds: a row for each set, and for all classes and all sets."""
    frame = pd.DataFrame(found)
    columns = [*SCORES, *(f"{name}_{cells}" for name in REJECTING for cells in ("known", "novel"))]
    head = ["set", "classes", *(f"AUROC, {title}" for title in SCORES.values())]
    head += [f"{cells} rejected, {SCORES[name]}" for name in REJECTING for cells in ("known", "novel")]
    by_set = frame.groupby("set")[columns].mean()
    counts = frame.groupby("set")["class"].nunique()
    rows = [[name, str(counts[name]), *_numbers(values)] for name, values in by_set.iterrows()]
    every = frame.groupby(["set", "class"])[columns].mean()
    rows.append(["mean over sets", "", *_numbers(by_set.mean())])
    rows.append(["mean over classes", str(len(every)), *_numbers(every.mean())])
    rows.append(["median over classes", "", *_numbers(every.median())])
    return table(head, rows, numbers_from=2)


def _numbers(values: pd.Series) -> list[str]:
    return [f"{value:.3f}" for value in values]


STUDY = Study("novelty", about, measure, summarise, "novelty")


def main(given: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--max-classes", type=int, help="leave out so many classes of each set only")
    STUDY.run(arguments.parse_args(given))


if __name__ == "__main__":
    main()
