"""The panels of a figure of mask quality."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator, PercentFormatter
from numpy.typing import NDArray

from sims_tools.pl._canvas import colour_bar, draw_matrix, inches, ink_for, plain
from sims_tools.pl._colors import MATRIX_MAP
from sims_tools.pl._text import SIZE, label_ticks

STYLES: dict[str, tuple[str, str, str]] = {
    "masks": ("masks of the class", "#c44e52", "-"),
    "cell_masks": ("mask of each cell", "#c44e52", ":"),
    "logistic": ("logistic regression", "#4c72b0", "-"),
    "differential": ("differential expression", "#55a868", "-"),
    "matched": ("random, expressed alike", "#777777", "-"),
    "random": ("random", "#b8b8b8", "-"),
}
"""Words, colour and line of each ranking, the most important first."""

_GRID: dict[str, Any] = {"color": "#ececec", "linewidth": 0.8, "zorder": 0}
_FULL: dict[str, Any] = {"s": 22, "color": "#444444", "clip_on": False}
_HOLLOW: dict[str, Any] = {"s": 20, "facecolor": "white", "edgecolor": "#444444", "linewidth": 1.2, "clip_on": False}
_LEAST_ROW = 0.14  # inches a number takes


def draw_curves(ax: Axes, table: pd.DataFrame, action: str, title: str) -> None:
    """Accuracy against the number of genes, for one action; a band spans the repeats of what was drawn at random."""
    whole = float(table.loc[table["action"] == "none", "accuracy"].iloc[0])
    ax.axhline(whole, color="black", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    part = table[table["action"] == action]
    for ranking in reversed([name for name in STYLES if name in set(part["ranking"])]):
        _, color, line = STYLES[ranking]
        repeats = part[part["ranking"] == ranking].groupby("n_genes")["accuracy"]
        mean = repeats.mean()
        width = 2.0 if ranking == "masks" else 1.4
        ax.plot(mean.index, mean, line, color=color, linewidth=width, marker="o", markersize=3.5, zorder=3)
        if (repeats.size() > 1).any():
            ax.fill_between(mean.index, repeats.min(), repeats.max(), color=color, alpha=0.2, linewidth=0, zorder=2)
    lengths = sorted(set(part["n_genes"]))
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(lengths))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{length:g}" for length in lengths])
    ax.set_xlim(lengths[0] / 1.15, lengths[-1] * 1.15)
    ax.set_ylim(-0.03, 1.03)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.grid(axis="y", **_GRID)
    ax.set_xlabel(f"genes {action} in each cell", fontsize=SIZE)
    _frame(ax, title)


def draw_legend(figure: Figure, table: pd.DataFrame, x: float, y: float) -> None:
    """What each curve is, from the upper left corner (x, y) in shares of the figure."""
    shown = [style for ranking, style in STYLES.items() if ranking in set(table["ranking"])]
    lines = [Line2D([], [], color=color, linestyle=line, marker="o", markersize=3.5) for _, color, line in shown]
    lines.append(Line2D([], [], color="black", linewidth=0.8, linestyle=(0, (4, 3))))
    legend = figure.legend(
        lines,
        [*(words for words, _, _ in shown), "nothing deleted"],
        loc="upper left",
        bbox_to_anchor=(x, y),
        fontsize=SIZE,
        title="genes chosen by",
        title_fontsize=SIZE,
        alignment="left",
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=2.2,
    )
    legend.set_zorder(5)


def draw_loss(ax: Axes, table: pd.DataFrame, classes: Sequence[str], n_genes: int) -> None:
    """Accuracy that each class loses with its first genes, one dot per ranking."""
    whole = table[table["action"] == "none"].set_index("class")["accuracy"].reindex(classes)
    part = table[(table["action"] == "deleted") & (table["n_genes"] == n_genes)]
    shown = [name for name in STYLES if name in set(part["ranking"]) and name != "cell_masks"]
    lost = {
        name: (whole - part[part["ranking"] == name].groupby("class", observed=True)["accuracy"].mean())
        .reindex(classes)
        .to_numpy()
        for name in shown
    }
    rows = np.arange(len(classes))
    every = np.array(list(lost.values()))
    ax.hlines(rows, every.min(axis=0), every.max(axis=0), color="#d5d5d5", linewidth=1.2, zorder=1)
    for rank, name in enumerate(reversed(shown)):
        ax.scatter(
            lost[name], rows, s=26 if name == "masks" else 16, color=STYLES[name][1], zorder=2 + rank, clip_on=False
        )
    ax.axvline(0, color="black", linewidth=0.8, zorder=1)
    ax.set_xlim(min(float(every.min()), 0) - 0.04, max(float(every.max()), 0.2) + 0.04)
    ax.set_xlabel(f"with the first {n_genes} genes\ndeleted", fontsize=SIZE)
    _rows(ax, len(classes))
    _frame(ax, "accuracy lost")


def draw_stability(ax: Axes, table: pd.DataFrame, classes: Sequence[str], n_top: int) -> None:
    """Agreement of models: a full dot for the sets of the heaviest genes, a ring for the ranks of all."""
    table = table.set_index("class").reindex(classes)
    rows = np.arange(len(classes))
    ax.hlines(rows, table["jaccard"], table["spearman"], color="#d5d5d5", linewidth=1.2, zorder=1)
    ax.scatter(table["spearman"], rows, zorder=2, **_HOLLOW)
    ax.scatter(table["jaccard"], rows, zorder=3, **_FULL)
    low = float(np.nanmin([*table["spearman"], 0.0]))
    ax.set_xlim(low - 0.03, 1.03)
    ax.set_xlabel(f"● Jaccard, {n_top} genes\n○ rank correlation", fontsize=SIZE)
    _rows(ax, len(classes))
    _frame(ax, f"stability, {int(table['n_models'].max())} models")


_SOURCES: dict[str, tuple[dict[str, Any], str]] = {
    "differential": (_FULL, "● by expression"),
    "given": ({**_HOLLOW, "marker": "D", "s": 17}, "◇ given"),
}


def draw_agreement(ax: Axes, table: pd.DataFrame, classes: Sequence[str]) -> None:
    """Probability that a marker of the class weighs more than another gene, one dot per source of markers."""
    shown = [name for name in _SOURCES if name in set(table["source"])]
    for name in shown:
        values = table[table["source"] == name].set_index("class")["auroc"].reindex(classes)
        ax.scatter(values, np.arange(len(classes)), zorder=3, **_SOURCES[name][0])
    ax.axvline(0.5, color="black", linewidth=0.8, linestyle=(0, (4, 3)), zorder=1)
    ax.set_xlim(min(float(np.nanmin([*table["auroc"], 0.5])), 0.4) - 0.03, 1.03)
    ax.set_xlabel("\n".join(["AUROC", "  ".join(_SOURCES[name][1] for name in shown)]), fontsize=SIZE)
    _rows(ax, len(classes))
    _frame(ax, "agreement with markers")


def draw_families(ax: Axes, table: pd.DataFrame, classes: Sequence[str]) -> None:
    """Share of the mask on each family, in per cent, darker where it is more."""
    shares = table.pivot(index="class", columns="family", values="share").reindex(classes)
    shares = shares[list(dict.fromkeys(table["family"]))]
    values = shares.to_numpy(dtype=float)
    ceiling = max(float(values.max()), 0.1)
    image = draw_matrix(ax, values, cmap=MATRIX_MAP, vmin=0, vmax=ceiling)
    names = [str(name).replace("_", " ") for name in shares.columns]
    label_ticks(ax.xaxis, names, inches(ax)[0] / len(names), rotation=90, size=SIZE)
    if inches(ax)[1] / len(classes) >= _LEAST_ROW:
        _write_shares(ax, values, ceiling)
    _frame(ax, "share of the mask")
    plain(ax)
    ax.set_yticks([])
    colour_bar(ax, image, "")
    ax.child_axes[0].yaxis.set_major_formatter(PercentFormatter(1))


def _write_shares(ax: Axes, values: NDArray[np.float64], ceiling: float) -> None:
    for (row, column), value in np.ndenumerate(values):
        words = f"{value:.1%}" if value >= 0.0005 else "0"
        ink = ink_for(MATRIX_MAP(value / ceiling)) if value >= 0.0005 else "#aaaaaa"
        ax.text(column, row, words, ha="center", va="center", fontsize=SIZE - 2, color=ink)


def _rows(ax: Axes, count: int) -> None:
    """One line of the grid per class, the first on top; names stand at the first panel only."""
    ax.set_ylim(count - 0.4, -0.6)
    ax.set_yticks(np.arange(count), labels=[""] * count)
    ax.tick_params(axis="y", length=0)
    ax.grid(axis="y", **_GRID)
    ax.set_axisbelow(True)


def _frame(ax: Axes, title: str) -> None:
    ax.set_title(title, fontsize=SIZE + 1, loc="left", pad=6)
    ax.tick_params(labelsize=SIZE)
    plain(ax)
    ax.spines["bottom"].set_visible(True)
