"""Axes of a measured size, their colour bar and legend, and what a plotting function hands back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import scanpy as sc
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from sims_tools.pl._text import SIZE, shorten, text_width

PAD = 0.12  # inches of white around everything
BAR_ROOM = 1.05  # inches a colour bar takes on the right
_LONGEST = 40.0  # inches
_MOST_COLUMNS = 2  # of a legend


def pitch_for(count: int, *, wish: float, floor: float = 0.0) -> float:
    """Inches per row: `wish`, but more where few rows would make less than `floor` inches, and less for hundreds."""
    return min(max(wish, floor / max(count, 1)), _LONGEST / max(count, 1))


def canvas(
    ax: Axes | None,
    width: float,
    height: float,
    *,
    left: float = PAD,
    right: float = PAD,
    top: float = PAD,
    bottom: float = PAD,
) -> Axes:
    """`ax`, or else axes of exactly `width` x `height` inches in a new figure that has these margins around them."""
    if ax is not None:
        return ax
    full_width, full_height = left + width + right, bottom + height + top
    figure = plt.figure(figsize=(full_width, full_height))
    return figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))


def inches(ax: Axes) -> tuple[float, float]:
    """Width and height of `ax` in inches."""
    extent = ax.get_window_extent()
    return extent.width / ax.figure.dpi, extent.height / ax.figure.dpi


def colour_bar(ax: Axes, image: Any, title: str) -> None:
    """A small colour bar right of `ax`, at its upper end, with its title (of short lines) on top."""
    width, height = inches(ax)
    words = (title.count("\n") + 1) * 0.14 + 0.08
    tall = min(max(height - words, 0.8), 1.6)
    bar_ax = ax.inset_axes((1 + 0.15 / width, 1 - (words + tall) / height, 0.11 / width, tall / height))
    bar = ax.figure.colorbar(image, cax=bar_ax)
    bar_ax.set_title(title, fontsize=SIZE, loc="left", pad=6)
    bar.outline.set_visible(False)
    bar_ax.tick_params(labelsize=SIZE - 1, length=2)


class Key:
    """A legend whose size is known before it is drawn.

    Parameters
    ----------
    colors
        Names and their colours, in order.
    height
        Inches it should take: more names make a second column and smaller type, and only then a longer legend.
    """

    def __init__(self, colors: Mapping[str, str], height: float, title: str | None = None) -> None:
        self.names = shorten(list(colors))
        self.colors = list(colors.values())
        self.title = title
        self.size = SIZE if len(self.names) <= 24 else SIZE - 1
        room = height - (0.25 if title else 0)
        per_column = max(int(room / (self.size * 1.4 / 72)), ceil(len(self.names) / _MOST_COLUMNS), 1)
        self.columns = max(ceil(len(self.names) / per_column), 1)
        per_column = ceil(len(self.names) / self.columns) if self.names else 1
        self.height = per_column * self.size * 1.4 / 72 + (0.25 if title else 0)
        self.width = PAD + sum(
            text_width(self.names[start : start + per_column], self.size) + 2.7 * self.size / 72
            for start in range(0, len(self.names), per_column)
        )

    def draw(self, host: Figure | Axes, x: float, y: float) -> None:
        """Put the upper left corner at (x, y), in shares of the figure or axes."""
        dots = [
            Line2D([], [], marker="o", linestyle="", color=color, markersize=self.size * 0.7) for color in self.colors
        ]
        legend = host.legend(
            dots,
            ["name"] * len(dots),  # the names follow: a legend would drop one with a leading underscore
            loc="upper left",
            bbox_to_anchor=(x, y),
            ncols=self.columns,
            fontsize=self.size,
            title=self.title,
            title_fontsize=SIZE,
            alignment="left",
            frameon=False,
            borderpad=0,
            borderaxespad=0,
            handlelength=0.8,
            handletextpad=0.5,
            columnspacing=1.2,
            labelspacing=0.22,
        )
        legend.get_title().set_parse_math(False)
        for text, name in zip(legend.get_texts(), self.names, strict=True):
            text.set_parse_math(False)
            text.set_text(name)


def hand_back(axes: Axes | Sequence[Axes], show: bool | None, return_fig: bool) -> Any:
    """The figure, nothing, or the axes: what scanpy's plotting functions return for the same arguments."""
    if return_fig:
        return (axes if isinstance(axes, Axes) else axes[0]).figure
    if sc.settings.autoshow if show is None else show:
        plt.show()
        return None
    return axes


def draw_matrix(ax: Axes, values: np.ndarray, **options: Any) -> AxesImage:
    """A cell for each value, without lines of the user's style across them."""
    ax.grid(False)
    return ax.imshow(values, aspect="auto", interpolation="nearest", **options)


def plain(ax: Axes) -> None:
    """Without a frame."""
    for spine in ax.spines.values():
        spine.set_visible(False)


def ink_for(rgba: Sequence[float]) -> str:
    """Black or white, whichever can be read on this colour."""
    red, green, blue = rgba[:3]
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"
