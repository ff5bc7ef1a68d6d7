"""Tables of what was measured: `python -m benchmarks.cite.report FILE... [--page docs/cite_seq.md]`."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from benchmarks.accuracy import lines
from benchmarks.accuracy.tables import machine_rows
from benchmarks.speed.markdown import publish, table

from .cells import QUERIES
from .methods import METHODS

Line = lines.Line


def machine(found: list[Line]) -> str:
    """What it ran on, and the commands."""
    runs = [line for line in found if line["section"] == lines.MACHINE]
    return table(["", ""], machine_rows(runs), numbers_from=2) if runs else ""


def queries(scores: pd.DataFrame) -> str:
    """Macro F1 by set, method and what is measured of the query."""
    return _by(scores, "macro_f1", list(QUERIES))


def calibration(scores: pd.DataFrame) -> str:
    """Calibration error, likewise."""
    return _by(scores, "ece", list(QUERIES))


def _by(scores: pd.DataFrame, value: str, tasks: list[str]) -> str:
    groups = scores.groupby(["set", "method", "task"])[value]
    mean, sd = groups.mean(), groups.std()
    n_seeds = scores.groupby(["set", "method"])["seed"].nunique()
    rows = []
    for name in dict.fromkeys(scores["set"]):
        for which, (title, _) in METHODS.items():
            cells = [_number(mean.get((name, which, task)), sd.get((name, which, task))) for task in tasks]
            if set(cells) != {""}:
                rows.append([name, title, str(n_seeds[name, which]), *cells])
    return table(["set", "method", "seeds", *tasks], rows, numbers_from=2)


def latents(scores: pd.DataFrame) -> str:
    """Silhouette of the classes, and labels passed on by neighbours."""
    if "silhouette" not in scores:
        return ""
    rows = []
    for (name, which), part in scores.dropna(subset="silhouette").groupby(["set", "method"], sort=False):
        values = [_number(part[value].mean(), part[value].std()) for value in ("silhouette", "passed_on")]
        rows.append([str(name), METHODS[str(which)][0], *values])
    return table(["set", "latent space of", "silhouette", "right labels from 15 neighbours"], rows, numbers_from=2)


def shares(found: list[Line]) -> str:
    """Share of RNA in the masks by called class."""
    rows = [
        {"set": line["set"], "task": line["task"], "class": name, "share": value}
        for line in found
        for name, value in line.get("rna_share", {}).items()
        if line["method"] == "sims"
    ]
    if not rows:
        return ""
    groups = pd.DataFrame(rows).groupby(["set", "class", "task"], sort=False)["share"]
    mean, sd = groups.mean().unstack("task"), groups.std().unstack("task")
    tasks = [task for task in QUERIES if task in mean]
    body = [[*at, *(_number(mean.loc[at, task], sd.loc[at, task]) for task in tasks)] for at in mean.index]
    return table(["set", "called class", *tasks], body, numbers_from=2)


def _number(mean: float | None, sd: float | None) -> str:
    if mean is None or pd.isna(mean):
        return ""
    return f"{mean:.3f}" if sd is None or pd.isna(sd) else f"{mean:.3f} ± {sd:.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, help="for example docs/cite_seq.md")
    chosen = parser.parse_args()
    found = [line for path in chosen.files for line in lines.read(path)]
    kept = lines.scores(found)
    scores = pd.DataFrame(kept)
    tables = {"cite_queries": queries(scores), "cite_calibration": calibration(scores), "cite_latents": latents(scores)}
    publish({"cite_machine": machine(found), **tables, "cite_shares": shares(kept)}, chosen.page)


if __name__ == "__main__":
    main()
