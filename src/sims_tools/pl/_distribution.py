"""How many cells of which label."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, UNKNOWN, Keys
from sims_tools.data._mask_stats import label_codes
from sims_tools.data._obs_columns import obs_column
from sims_tools.pl._canvas import PAD, Key, canvas, hand_back, inches, pitch_for, plain
from sims_tools.pl._colors import label_colors
from sims_tools.pl._text import SIZE, label_ticks, shorten, size_for, text_width

_TRUE_COLOR = "#444444"


@docs.dedent
def label_distribution(
    adata: AnnData | MuData,
    *,
    key: str = DEFAULT_KEY,
    groupby: str | None = None,
    labels_key: str | None = None,
    normalize: bool | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """Show how many cells were given each label.

    Parameters
    ----------
    adata
        Annotated cells. It is not changed.
    %(key)s
    groupby
        Column of `adata.obs` (sample, donor, condition): one stacked bar for each of its values.
    labels_key
        Column of `adata.obs` with true labels: a bar of those beside each bar of predicted ones.
    normalize
        Shares instead of numbers of cells; by default shares with `groupby` and numbers without it.
    ax
        Axes to draw on.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes if `show=False`; else `None`.

    Examples
    --------
    >>> sims.pl.label_distribution(query)
    >>> sims.pl.label_distribution(query, groupby="donor")
    """
    if groupby is not None and labels_key is not None:
        raise ValueError("Give either `groupby` or `labels_key`, not both.")
    predicted_key = Keys(key).label
    obs_column(adata, predicted_key, "key")
    if groupby is not None:
        obs_column(adata, groupby, "groupby")
        ax = _stacked(adata, predicted_key, groupby, normalize is not False, ax)
    else:
        if labels_key is not None:
            obs_column(adata, labels_key, "labels_key")
        ax = _bars(adata, predicted_key, labels_key, bool(normalize), ax)
    ax.tick_params(axis="x", labelsize=SIZE)
    plain(ax)
    ax.spines["bottom"].set_visible(True)
    return hand_back(ax, show, return_fig)


def _counts(adata: AnnData | MuData, column: str) -> dict[str, int]:
    """Cells per label."""
    codes, names = label_codes(adata, column)
    return dict(zip(names, np.bincount(codes[codes >= 0], minlength=len(names)).tolist(), strict=True))


def _bars(
    adata: AnnData | MuData, predicted_key: str, labels_key: str | None, normalize: bool, ax: Axes | None
) -> Axes:
    """One bar per label, or two: predicted and true; most frequent on top, the uncalled cells last."""
    predicted = _counts(adata, predicted_key)
    true = {} if labels_key is None else _counts(adata, labels_key)
    order = sorted(
        {**predicted, **true}, key=lambda name: (name == UNKNOWN, -predicted.get(name, 0), -true.get(name, 0))
    )
    series = [("predicted", predicted)] + ([] if labels_key is None else [("true", true)])
    names = shorten(order)
    thick = 0.8 / len(series)
    height = len(names) * pitch_for(len(names), wish=0.2 if len(series) == 1 else 0.28, floor=0.8)
    bottom = 0.5 if len(series) == 1 else 0.8
    ax = canvas(ax, 3.6, height, left=text_width(names) + 2 * PAD, right=0.45, bottom=bottom)
    colors = label_colors(adata, predicted_key)
    per_bar = inches(ax)[1] / max(len(names), 1)
    for rank, (title, counts) in enumerate(series):
        total = max(sum(counts.values()), 1)
        lengths = np.array([counts.get(name, 0) / (total if normalize else 1) for name in order])
        face = [colors.get(name, "white") for name in order] if title == "predicted" else _TRUE_COLOR
        bars = ax.barh(
            np.arange(len(names)) + (rank - (len(series) - 1) / 2) * thick, lengths, thick * 0.92, color=face
        )
        words = [f"{length:.1%}" if normalize else f"{length:,.0f}" for length in lengths]
        size = min(size_for(per_bar * thick), SIZE - 1)
        ax.bar_label(bars, words, padding=2, fontsize=size)
    label_ticks(ax.yaxis, names, per_bar)
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlabel("share of cells" if normalize else "cells", fontsize=SIZE)
    if labels_key is not None:
        note = f"coloured: predicted ({predicted_key}), dark: true ({labels_key})"
        ax.set_xlabel(f"{ax.get_xlabel()}\n{note}", fontsize=SIZE, parse_math=False)
    return ax


def _stacked(adata: AnnData | MuData, predicted_key: str, groupby: str, normalize: bool, ax: Axes | None) -> Axes:
    """One bar per group, its labels end to end."""
    codes, labels = label_codes(adata, predicted_key)
    group_of, groups = label_codes(adata, groupby)
    both = (codes >= 0) & (group_of >= 0)
    table = np.zeros((len(groups), len(labels)))
    np.add.at(table, (group_of[both], codes[both]), 1)
    if normalize:
        table /= np.maximum(table.sum(axis=1, keepdims=True), 1)
    names = shorten(groups)
    colors = {name: label_colors(adata, predicted_key)[name] for name in labels}
    height = len(names) * pitch_for(len(names), wish=0.26, floor=1.2)
    legend = Key(colors, max(height, 2.2), title=shorten([predicted_key])[0])
    left, right, bottom = text_width(names) + 2 * PAD, legend.width + 0.4, max(legend.height + PAD - height, 0.5)
    ax = canvas(ax, 3.6, height, left=left, right=right, bottom=bottom)
    starts = np.cumsum(table, axis=1) - table
    for column, color in enumerate(colors.values()):
        ax.barh(np.arange(len(names)), table[:, column], 0.8, left=starts[:, column], color=color)
    label_ticks(ax.yaxis, names, inches(ax)[1] / max(len(names), 1))
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlim(0, 1 if normalize else None)
    ax.set_xlabel("share of cells" if normalize else "cells", fontsize=SIZE)
    legend.draw(ax, 1 + 0.25 / inches(ax)[0], 1)
    return ax
