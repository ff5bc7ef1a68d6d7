"""From lines to means and deviations over seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from . import lines
from .methods import DEFAULT_NAME, TITLES
from .perturb import RANDOM, TRANSFER

Line = lines.Line

FLAGS = ("is_ours", "calibrated")
NUMBERS = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "median_f1",
    "few_f1",
    "ece",
    "ece_by_chance",
    "nll",
    "brier",
    "train_seconds",
    "predict_seconds",
    "train_extra",
    "genes_in_mask",
    "n_test",
)
"""Columns of the scores beside what they are about."""


@dataclass(frozen=True)
class Spread:
    """Means and standard deviations over seeds, methods in columns; NaN where there is nothing, or one seed only.

    `each` has one column for each method and seed.
    """

    mean: pd.DataFrame
    sd: pd.DataFrame
    each: pd.DataFrame


@dataclass(frozen=True)
class Results:
    """What was measured.

    Parameters
    ----------
    scores
        One row for each line that has scores.
    failed, left_out, machines
        Lines with errors, methods that could not be imported, one line for each run.
    ours
        The recipe of ours that goals are about.
    """

    scores: pd.DataFrame
    failed: list[Line]
    left_out: list[Line]
    machines: list[Line]
    ours: str = DEFAULT_NAME

    @property
    def recipes(self) -> list[str]:
        """Ours, the one that goals are about first."""
        names = self.scores.loc[self.scores["is_ours"], "method"].unique()
        return sorted(names, key=lambda name: (name != self.ours, name))

    @property
    def peers(self) -> list[str]:
        return [name for name in TITLES if name in set(self.scores["method"])]

    def of(self, task: str) -> pd.DataFrame:
        """Scores of a task, without seeds in which a set lacks one of its splits."""
        found = self.scores[self.scores["task"] == task]
        n_splits = found.groupby("set")["split"].transform("nunique")
        n_own = found.groupby(["set", "method", "seed", "level"], dropna=False)["split"].transform("nunique")
        return found[n_own == n_splits]

    def by_set(self, value: str, task: str = RANDOM) -> Spread:
        """A quantity by set and method, averaged over the set's splits."""
        return spread(self.of(task), "set", value)


def read(found: list[Line], ours: str = DEFAULT_NAME) -> Results:
    """Results from the lines of one or more files."""
    kept = lines.scores(found)
    good = [{**line, "is_ours": "recipe" in line} for line in kept if "missing" not in line]
    by_section = {name: [line for line in found if line["section"] == name] for name in (lines.LEFT_OUT, lines.MACHINE)}
    failed = [line for line in kept if "missing" in line]
    scores = pd.DataFrame(good, columns=[*lines.IDENTITY, *FLAGS, *NUMBERS])
    scores = scores.astype(dict.fromkeys(NUMBERS, float) | dict.fromkeys(FLAGS, bool))
    return Results(scores, failed, by_section[lines.LEFT_OUT], by_section[lines.MACHINE], ours)


def spread(scores: pd.DataFrame, row: str, value: str) -> Spread:
    """Mean over everything of one seed, then mean and deviation over seeds.

    Parameters
    ----------
    scores
        Rows with `method`, `seed` and these columns.
    row, value
        Columns: what the rows of the table are, and what is in it. A seed that has less of a row than other seeds of
        the same method is left out: it is not done yet.
    """
    if scores.empty:
        return Spread(pd.DataFrame(), pd.DataFrame(), pd.DataFrame())
    each = scores.groupby([row, "method", "seed"])[value].agg(["mean", "size"])
    whole = each["size"] == each.groupby([row, "method"])["size"].transform("max")
    kept = each.loc[whole, "mean"]
    over = kept.groupby([row, "method"])
    return Spread(over.mean().unstack("method"), over.std().unstack("method"), kept.unstack(["method", "seed"]))


def losses(results: Results) -> pd.DataFrame:
    """Macro F1 that each perturbation costs: rows with `task`, `level`, `set`, `seed`, `method`, `loss`."""
    keys = ["set", "split", "seed", "method"]
    scores = results.scores
    plain = scores.loc[scores["task"] == RANDOM, [*keys, "macro_f1"]]
    perturbed = scores[~scores["task"].isin([RANDOM, TRANSFER])]
    found = perturbed.merge(plain, on=keys, suffixes=("", "_plain"))
    found["loss"] = found["macro_f1_plain"] - found["macro_f1"]
    return found


@dataclass(frozen=True)
class Comparison:
    """Ours beside the best peer of each set, on the seeds that both have: some splits are harder than others.

    Parameters
    ----------
    table
        One row for each set with ours and a peer: `ours`, `best`, `peer` (its name), `sd`.
    margins
        By peer: mean of ours less theirs over the sets of both.
    """

    table: pd.DataFrame
    margins: pd.Series

    @property
    def above(self) -> np.ndarray:
        """Sets where ours is strictly above every peer."""
        return (self.table["ours"] > self.table["best"]).to_numpy()

    @property
    def within(self) -> np.ndarray:
        """Sets where ours is at most one standard deviation below the best peer."""
        return (self.table["ours"] >= self.table["best"] - self.table["sd"]).to_numpy()


def compare(found: Spread, ours: str, peers: list[str]) -> Comparison | None:
    """Ours with its peers; None without either. The deviation is the best peer's, or ours where it ran once."""
    peers = [name for name in peers if name in found.mean]
    if ours not in found.mean:
        return None
    pairs = pd.DataFrame(
        [(name, peer, *_paired(found.each.loc[name], ours, peer)) for name in found.mean.index for peer in peers],
        columns=["set", "peer", "ours", "best"],
    ).dropna()
    if pairs.empty:
        return None
    pairs["margin"] = pairs["ours"] - pairs["best"]
    table = pairs.loc[pairs.groupby("set")["margin"].idxmin()].set_index("set")
    sds = [_first_number(found.sd.loc[name, peer], found.sd.loc[name, ours]) for name, peer in table["peer"].items()]
    return Comparison(table.assign(sd=sds), pairs.groupby("peer")["margin"].mean())


def _paired(values: pd.Series, ours: str, peer: str) -> tuple[float, float]:
    """Means of both over the seeds that both have, or over those of each where they have none in common."""
    own, theirs = values[ours].dropna(), values[peer].dropna()
    common = own.index.intersection(theirs.index)
    if len(common):
        own, theirs = own[common], theirs[common]
    return own.mean(), theirs.mean()


def _first_number(*values: float) -> float:
    return next((value for value in values if np.isfinite(value)), 0.0)
