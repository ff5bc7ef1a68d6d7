"""Accuracy against the number of genes in a mask: `python -m benchmarks.accuracy.mask_size FILE...`.

The files hold random splits of several recipes of ours, which `benchmarks.accuracy.run --options ... --name ...`
measured. Only sets and seeds that all of them have count.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from benchmarks.speed.markdown import publish, table
from benchmarks.speed.plots import COLORS, MUTED, STYLE, save
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from . import lines
from .perturb import RANDOM

SIZE, SCORE = "genes_in_mask", "macro_f1"
DEFAULT, KNOB = "default", "max_selected"
TICKS = (10, 20, 50, 100, 200)


def sizes(found: list[lines.Line]) -> pd.DataFrame:
    """Means over seeds by recipe (as options are written in Python; `default`) and set: `genes_in_mask`, `macro_f1`."""
    rows = [
        {**{name: line[name] for name in ("set", "seed", SIZE, SCORE)}, "recipe": recipe(line["recipe"])}
        for line in lines.scores(found)
        if "recipe" in line and line["task"] == RANDOM and "missing" not in line
    ]
    table = pd.DataFrame(rows, columns=["recipe", "set", "seed", SIZE, SCORE])
    n_recipes = table.groupby(["set", "seed"])["recipe"].transform("nunique")
    kept = table[n_recipes == table["recipe"].nunique()]
    return kept.groupby(["recipe", "set"])[[SIZE, SCORE]].mean()


def recipe(options: dict[str, object]) -> str:
    """What was passed to `sims_train`."""
    return ", ".join(f"{name}={value!r}" for name, value in options.items()) or DEFAULT


def averages(found: pd.DataFrame) -> pd.DataFrame:
    """One row for each recipe, the smallest masks first: means over sets, and the set with the largest masks."""
    over = found.groupby("recipe")
    largest = over[SIZE].idxmax().map(lambda at: at[1])
    means = over.mean().assign(most=over[SIZE].max(), most_in=largest)
    return means.sort_values(SIZE)


def as_table(found: pd.DataFrame) -> str:
    """Markdown."""
    if found.empty:
        return "Not measured here."
    head = ["option of `sims_train`", "genes in a mask", "most on a set", "macro F1"]
    rows = [
        [f"`{name}`", f"{row[SIZE]:.0f}", f"{row['most']:.0f} ({row['most_in']})", f"{row[SCORE]:.3f}"]
        for name, row in averages(found).iterrows()
    ]
    return table(head, rows)


def draw(found: pd.DataFrame, path: Path) -> None:
    """A line for each set and one for their mean, over the recipes that differ in `KNOB`."""
    names = found.index.get_level_values("recipe")
    found = found[(names == DEFAULT) | names.str.startswith(f"{KNOB}=")]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.6, 3.6), layout="constrained")
        axes = figure.subplots()
        ends = {}
        for name, part in found.groupby("set"):
            part = part.sort_values(SIZE)
            axes.plot(part[SIZE], part[SCORE], color=MUTED, linewidth=0.8, alpha=0.6)
            ends[str(name)] = (part[SIZE].iloc[-1], part[SCORE].iloc[-1])
        means = averages(found)
        axes.plot(
            means[SIZE], means[SCORE], color=COLORS["ours"], marker="o", markersize=4, linewidth=2.0, label="mean"
        )
        axes.set(xscale="log", xlabel="genes in the mask of a cell", ylabel="macro F1")
        axes.set_xticks(TICKS, [str(tick) for tick in TICKS])
        axes.xaxis.set_minor_locator(NullLocator())
        right = 1.1 * max(x for x, _ in ends.values())
        for name, height in apart({name: y for name, (_, y) in ends.items()}).items():
            x, y = ends[name]
            axes.plot([x, right], [y, height], color=MUTED, linewidth=0.4, linestyle=":", clip_on=False)
            axes.annotate(name, (right, height), fontsize=6, color=MUTED, va="center", annotation_clip=False)
        axes.legend(loc="lower center")
        save(figure, path)


def apart(heights: dict[str, float], gap: float = 0.017) -> dict[str, float]:
    """Heights of labels, moved down where they would lie on each other."""
    moved, last = {}, float("inf")
    for name, height in sorted(heights.items(), key=lambda item: -item[1]):
        last = min(height, last - gap)
        moved[name] = last
    return moved


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--page", type=Path, help="for example docs/accuracy.md")
    parser.add_argument("--figure", type=Path, help="for example docs/figures/accuracy_mask_size.svg")
    chosen = parser.parse_args()
    found = sizes([line for path in chosen.files for line in lines.read(path)])
    publish({"mask_size": as_table(found)}, chosen.page)
    if chosen.figure and not found.empty:
        draw(found, chosen.figure)


if __name__ == "__main__":
    main()
