"""What the figures of studies share: their tables, panels side by side, and rows of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from mudata import MuData

from sims_tools._validate import check_choice, listing
from sims_tools.get import study_df
from sims_tools.pl._canvas import pitch_for, plain
from sims_tools.pl._text import SIZE, label_ticks, shorten, text_width

COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52")
_NOT_SCORES = ("model", "fold", "repeat", "fraction", "group", "novel")


def scores_of(adata: AnnData | MuData, study: str, wanted: Sequence[str]) -> pd.DataFrame:
    """The scores of a study, in which the wanted ones are.

    Raises
    ------
    KeyError
        There is no such study.
    ValueError
        A score is unknown, or none is wanted.
    """
    table = study_df(adata, study)
    known = [name for name in table.columns if name not in _NOT_SCORES]
    for name in wanted:
        check_choice("metrics", name, known)
    if not wanted:
        raise ValueError(f"`metrics` is empty; there are {listing(known, 20)}.")
    return table


def title_of(name: str) -> str:
    """A score as a figure calls it."""
    if name == "ece":
        return "calibration error"
    return name.replace("_", " ").replace(" f1", " F1")


def is_share(name: str) -> bool:
    """Whether a score lies between 0 and 1, and is the better the higher it is."""
    return name.endswith("_f1") or "accuracy" in name


def row_panels(names: Sequence[str], count: int, *, legends: bool = False) -> list[Axes]:
    """Panels side by side that share rows, one for each name; the first has the names. Legends may stand above them."""
    short = shorten(names)
    pitch = pitch_for(len(short), wish=0.24, floor=1.1)
    height, width = len(short) * pitch, 2.1
    left = text_width(short) + 0.25
    top = 0.4 if legends else 0.12
    figure, grid = plt.subplots(
        1, count, sharey=True, squeeze=False, figsize=(left + count * (width + 0.15) + 0.1, top + height + 0.5)
    )
    full_width, full_height = figure.get_size_inches()
    figure.subplots_adjust(
        left=left / full_width,
        right=1 - 0.12 / full_width,
        bottom=0.5 / full_height,
        top=1 - top / full_height,
        wspace=0.12,
    )
    panels = list(grid[0])
    label_ticks(panels[0].yaxis, short, pitch)
    panels[0].set_ylim(len(short) - 0.5, -0.5)
    for panel in panels:
        frame(panel)
        panel.grid(axis="y", color="0.92", linewidth=0.8)
        panel.set_axisbelow(True)
        panel.tick_params(axis="y", length=0)
    return panels


def frame(ax: Axes, sides: Sequence[Literal["left", "bottom"]] = ("bottom",)) -> None:
    """Only these sides of the frame, and small type."""
    plain(ax)
    for side in sides:
        ax.spines[side].set_visible(True)
    ax.tick_params(labelsize=SIZE)


def points(ax: Axes, rows: np.ndarray, values: np.ndarray, color: str, *, size: float = 22, alpha: float = 1.0) -> None:
    """A point for each value that is there, at its row."""
    there = np.isfinite(values)
    ax.scatter(values[there], rows[there], s=size, color=color, alpha=alpha, linewidths=0, zorder=3)


def legend(ax: Axes, colors: dict[str, str]) -> None:
    """Names of the points above the axes."""
    dots = [Line2D([], [], marker="o", linestyle="", color=color, markersize=4.5) for color in colors.values()]
    ax.legend(
        dots,
        list(colors),
        loc="lower left",
        bbox_to_anchor=(-0.02, 1.0),
        ncols=len(colors),
        fontsize=SIZE,
        frameon=False,
        handletextpad=0.2,
        columnspacing=0.9,
        borderpad=0.2,
    )


def score_axis(ax: Axes, name: str, values: np.ndarray) -> None:
    """The axis that suits a score."""
    (share_axis if is_share(name) else measure_axis)(ax, values)


def measure_axis(ax: Axes, values: np.ndarray) -> None:
    """An axis of a quantity that begins at zero."""
    there = values[np.isfinite(values)]
    ax.set_xlim(0, 1.06 * float(there.max()) if there.size and there.max() > 0 else 1)


def log_axis(ax: Axes, values: np.ndarray) -> None:
    """A logarithmic axis with plain numbers."""
    there = values[np.isfinite(values) & (values > 0)]
    ax.set_xscale("log")
    wide = there.size and there.max() > 30 * there.min()
    ax.xaxis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def share_axis(ax: Axes, values: np.ndarray) -> None:
    """An axis of shares: up to 1, and from where the values begin, but never less than a fifth of it."""
    there = values[np.isfinite(values)]
    low = float(there.min()) if there.size else 0.0
    ax.set_xlim(max(0.0, min(low - 0.03, 0.8)) - 0.005, 1.01)
