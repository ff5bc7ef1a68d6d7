"""The explain matrix: cells x genes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from sims_tools.pl._canvas import BAR_ROOM, PAD, canvas, colour_bar, draw_matrix, inches, pitch_for, plain
from sims_tools.pl._colors import MATRIX_MAP
from sims_tools.pl._mask_inputs import MaskInputs
from sims_tools.pl._text import SIZE, label_ticks, shorten, size_for, spread, text_width

_MOST_CELLS = 2000
_MOST_RULED = 24  # labels with a rule between them: more would grey the picture
_STRIP = 0.14  # inches of the strip that shows the labels' colours
_LEAD = 0.25  # inches of the lines from there to the names


def draw_cells(inputs: MaskInputs, ax: Axes | None) -> Axes:
    """Mask weights of single cells, sorted by label."""
    columns = inputs.by_class(inputs.strongest(inputs.masks.total()), inputs.class_means())
    rows = _sample(inputs.codes)
    shown = inputs.stored.weights.read(rows)[:, columns].toarray()
    names, genes = shorten(inputs.groups), shorten([inputs.names[column] for column in columns], 24)
    width = len(genes) * pitch_for(len(genes), wish=0.16, floor=1.6)
    height = max(len(names) * pitch_for(len(names), wish=0.15), 3.5)
    left = text_width(names) + _STRIP + _LEAD + 3 * PAD
    ax = canvas(ax, width, height, left=left, right=BAR_ROOM, bottom=max(text_width(genes) + 2 * PAD, 0.6))
    image = draw_matrix(ax, shown, cmap=MATRIX_MAP, vmin=0, vmax=top_of_scale(shown))
    label_ticks(ax.xaxis, genes, inches(ax)[0] / max(len(genes), 1), rotation=90)
    ax.set_yticks([])
    plain(ax)
    _label_strip(ax, inputs, inputs.codes[rows], names)
    colour_bar(ax, image, inputs.weight.replace(" received", "\nreceived"))
    return ax


def top_of_scale(weights: NDArray[np.floating]) -> float:
    """A high percentile of the weights above zero, so that a few extreme cells do not pale all the others."""
    positive = weights[weights > 0]
    return float(np.percentile(positive, 98)) if positive.size else 1.0


def _sample(codes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Rows sorted by label; of too many, evenly spaced ones, each label in proportion and at least once."""
    rows = [np.flatnonzero(codes == code) for code in range(codes.max(initial=-1) + 1)]
    n_cells = sum(each.size for each in rows)
    if n_cells > _MOST_CELLS:
        share = _MOST_CELLS / n_cells
        rows = [each[np.linspace(0, each.size - 1, max(int(each.size * share), 1)).astype(int)] for each in rows]
    return np.concatenate([np.empty(0, dtype=np.intp), *rows]).astype(np.intp)


def _label_strip(ax: Axes, inputs: MaskInputs, codes: NDArray[np.intp], names: list[str]) -> None:
    """Colours of the labels left of the cells, and their names, moved apart where labels have few cells."""
    width, height = inches(ax)
    strip = ax.inset_axes((-(_STRIP + 0.04) / width, 0, _STRIP / width, 1), sharey=ax)
    colors = ListedColormap([inputs.colors[name] for name in inputs.groups] or ["white"])
    draw_matrix(strip, codes[:, None], cmap=colors, vmin=-0.5, vmax=colors.N - 0.5)
    strip.set_xticks([])
    plain(strip)
    edges = np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=len(names)))]) - 0.5
    centres = (edges[:-1] + edges[1:]) / 2
    if len(names) <= _MOST_RULED:
        ax.hlines(edges[1:-1], *ax.get_xlim(), color="black", linewidth=0.3)
    per_name = height / max(len(names), 1)
    size = min(size_for(per_name), SIZE)
    gap = min(size * 1.25 / 72, per_name) / height * codes.size
    places = spread(centres.tolist(), gap, gap / 2 - 0.5, codes.size - gap / 2 - 0.5)
    reach, across = _LEAD / _STRIP, strip.get_yaxis_transform()
    for name, shown, centre, place in zip(inputs.groups, names, centres, places, strict=True):
        line = Line2D([-0.1, -0.3 * reach, -0.9 * reach], [centre, centre, place], color="grey", linewidth=0.5)
        line.set(transform=across, clip_on=False)
        strip.add_artist(line)
        dot = Line2D([-reach], [place], color=inputs.colors[name], marker="s", markersize=size * 0.6)
        dot.set(transform=across, clip_on=False)
        strip.add_artist(dot)
        text = strip.text(-reach - 0.5, place, shown, transform=across, ha="right", va="center", fontsize=size)
        text.set_parse_math(False)
