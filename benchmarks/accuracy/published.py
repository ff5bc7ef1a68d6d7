"""Published models beside their recipes written out: `python -m benchmarks.accuracy.published --model actinn ...`.

`sims_tools.tl.train` with the published preset, an independent torch program of the same recipe, and a logistic
regression train on 80 % of the cells of each class and predict the others. Appends a JSON line for each at once, goes
on where it was stopped, and prints a table of what the file holds.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import pandas as pd
from benchmarks.speed.markdown import table

import sims_tools as sims

from .cells import Cells
from .methods import Method, load
from .methods.ours import LABELS
from .methods.pollock import AsWritten, SimplePollock
from .scores import score
from .sets import LabelledSet
from .splits import stratified
from .study import Line, Study, parser

OURS = "sims-tools"
HELD_OUT = 0.2
PRESETS = {"actinn": "default", "pollock": "tutorial"}


class Trained(Method):
    """`sims_tools.tl.train` of one architecture with its published recipe, on all training cells."""

    def __init__(self, model: str, seed: int, options: dict[str, Any]) -> None:
        super().__init__(seed, 1)
        self.name, self.options = model, options

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        adata = cells.adata()
        adata.obs[LABELS] = labels
        usual = {"validation_size": 0, "accelerator": "cpu", "progress_bar": False, "random_state": self.seed}
        how = {"model": self.name, "preset": PRESETS[self.name], **usual, **self.options}
        self.model = sims.tl.train(adata, LABELS, **how)
        return np.asarray(self.model.classes).astype(str)

    def predict_proba(self, cells: Cells) -> np.ndarray:
        adata = cells.adata()
        sims.tl.annotate(adata, self.model, progress_bar=False)
        return adata.obsm[f"{self.name}_prob"]

    def notes(self) -> dict[str, Any]:
        return {"genes_used": len(self.model.genes)}


def programs(model: str) -> dict[str, type[Method]]:
    """Independent programs of a recipe, and a yardstick, by what they are called in the table."""
    if model == "pollock":
        own: dict[str, type[Method]] = {"written out": SimplePollock, "written out, softmax twice": AsWritten}
    else:
        own = {"written out": load(model)}
    return {**own, "logistic regression": load("logistic")}


def about(_: LabelledSet, chosen: argparse.Namespace) -> list[Line]:
    """One answer for each program."""
    return [{"model": chosen.model, "program": name} for name in (OURS, *programs(chosen.model))]


def measure(cells: LabelledSet, asked: Line) -> Line:
    """Scores of one program on the cells held out."""
    train, test = stratified(cells.labels, asked["seed"], HELD_OUT)
    model, program, seed = asked["model"], asked["program"], asked["seed"]
    method = Trained(model, seed, asked["recipe"]) if program == OURS else programs(model)[program](seed, 1)
    classes = method.fit(cells.cells.take(train), cells.labels[train])
    prob = method.predict_proba(cells.cells.take(test))
    missing = np.setdiff1d(cells.labels[test], classes)  # a filter may take all cells of a class
    known = ~np.isin(cells.labels[test], missing)
    found = score(prob[known], np.asarray(classes), cells.labels[test][known], cells.labels[train])
    return {**found, **method.notes(), "n_train": len(train), "n_test": int(known.sum())}


def summarise(found: list[Line]) -> str:
    """A row for each model, set and program: means over seeds, and their spread."""
    frame = pd.DataFrame(found)
    rows = []
    for (model, name, program), lines in frame.groupby(["model", "set", "program"], sort=False):
        cells = [_spread(lines[score]) for score in ("accuracy", "macro_f1", "ece")]
        rows.append([model, name, program, str(len(lines)), *cells])
    return table(["model", "set", "program", "seeds", "accuracy", "macro F1", "ECE"], rows)


def _spread(values: pd.Series) -> str:
    return f"{values.mean():.3f}" + (f" +- {values.std():.3f}" if len(values) > 1 else "")


STUDY = Study("published", about, measure, summarise, "accuracy")


def main(given: list[str] | None = None) -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--model", choices=sorted(PRESETS), required=True)
    STUDY.run(arguments.parse_args(given))


if __name__ == "__main__":
    main()
