"""True labels against predicted ones."""

from __future__ import annotations

from typing import Literal

import matplotlib as mpl
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData
from numpy.typing import NDArray

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, UNKNOWN, Keys
from sims_tools._validate import check_choice
from sims_tools.data._obs_columns import obs_column
from sims_tools.pl._canvas import (
    BAR_ROOM,
    PAD,
    canvas,
    colour_bar,
    draw_matrix,
    hand_back,
    inches,
    ink_for,
    pitch_for,
    plain,
)
from sims_tools.pl._text import SIZE, label_ticks, shorten, text_width

_MOST_NUMBERED = 20
_TITLES = {
    "true": "share of\ntrue label",
    "pred": "share of\npredicted label",
    "all": "share of\nall cells",
    None: "cells",
}


@docs.dedent
def confusion_matrix(
    adata: AnnData | MuData,
    labels_key: str,
    *,
    key: str = DEFAULT_KEY,
    normalize: Literal["true", "pred", "all"] | None = "true",
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """Show which labels are taken for which.

    Rows are the true labels, columns the predicted ones; each may have labels that the other lacks. Both come in the
    order of the model's classes, labels it does not know after those. Cells without a true label are left out, and
    numbers are written only where there are at most 20 labels (and Unknown).

    Parameters
    ----------
    adata
        Annotated cells. It is not changed.
    labels_key
        Column of `adata.obs` with the true labels.
    %(key)s
    normalize
        Divide by the number of cells with the true label (`"true"`: recall on the diagonal), with the predicted
        label (`"pred"`: precision on the diagonal), of all cells (`"all"`), or show numbers of cells (`None`).
    ax
        Axes to draw on.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes if `show=False`; else `None`.

    Examples
    --------
    >>> sims.pl.confusion_matrix(query, "cell_type")
    """
    check_choice("normalize", normalize, _TITLES)
    obs_column(adata, labels_key, "labels_key")
    predicted_key = Keys(key).label
    obs_column(adata, predicted_key, "key")
    counts = _cross_table(adata, labels_key, predicted_key)
    values = _normalized(counts.to_numpy(dtype=float), normalize)
    rows, columns = shorten(list(counts.index)), shorten(list(counts.columns))
    numbered = max(len(set(names) - {UNKNOWN}) for names in (rows, columns)) <= _MOST_NUMBERED
    wish = (0.36 if normalize is not None else 0.45) if numbered else 0.16
    width = len(columns) * pitch_for(len(columns), wish=wish, floor=1.2)
    height = len(rows) * pitch_for(len(rows), wish=wish * 0.8 if numbered else wish, floor=0.9)
    bottom = text_width(columns) + 0.35 + PAD
    ax = canvas(ax, width, height, left=text_width(rows) + 0.35 + PAD, right=BAR_ROOM, bottom=max(bottom, 0.6))
    ceiling = max(values.max(), 1) if normalize is None else (values.max() or 1 if normalize == "all" else 1)
    image = draw_matrix(ax, values, cmap="Blues", vmin=0, vmax=ceiling)
    width, height = inches(ax)
    label_ticks(ax.yaxis, rows, height / len(rows))
    label_ticks(ax.xaxis, columns, width / len(columns), rotation=90)
    ax.set_ylabel("true", fontsize=SIZE + 1)
    ax.set_xlabel("predicted", fontsize=SIZE + 1)
    plain(ax)
    if numbered:
        _write_numbers(ax, values, ceiling, whole=normalize is None)
    colour_bar(ax, image, _TITLES[normalize])
    return hand_back(ax, show, return_fig)


def _cross_table(adata: AnnData | MuData, labels_key: str, predicted_key: str) -> pd.DataFrame:
    """Numbers of cells, true labels in rows."""
    true, predicted = (
        pd.Categorical(obs_column(adata, column, "labels_key")) for column in (labels_key, predicted_key)
    )
    both = (true.codes >= 0) & (predicted.codes >= 0)
    if not both.any():
        raise ValueError(f"No cell has both a true label in `adata.obs[{labels_key!r}]` and a predicted one.")
    true_names, predicted_names = np.asarray(true[both], dtype=str), np.asarray(predicted[both], dtype=str)
    known = [str(name) for name in predicted.categories]
    truly_present = set(true_names)
    columns = [name for name in known if name in truly_present or name in set(predicted_names)]
    foreign = [str(name) for name in true.categories if str(name) in truly_present and str(name) not in known]
    rows = [name for name in known if name in truly_present and name != UNKNOWN] + foreign
    rows += [UNKNOWN] if UNKNOWN in truly_present and UNKNOWN in known else []
    table = pd.crosstab(pd.Series(true_names), pd.Series(predicted_names))
    return table.reindex(index=rows, columns=columns, fill_value=0)


def _normalized(counts: NDArray[np.float64], normalize: str | None) -> NDArray[np.float64]:
    """Counts as shares; a label without cells has a share of zero."""
    if normalize is None:
        return counts
    axis = {"true": 1, "pred": 0, "all": None}[normalize]
    totals = counts.sum(axis=axis, keepdims=True)
    return counts / np.where(totals > 0, totals, 1)


def _write_numbers(ax: Axes, values: NDArray[np.float64], ceiling: float, *, whole: bool) -> None:
    """The value in each cell that has one, as large as fits."""
    words = {cell: f"{values[cell]:.0f}" if whole else f"{values[cell]:.2f}" for cell in np.ndindex(values.shape)}
    width, height = inches(ax)
    room = min(
        width / values.shape[1] * 0.85 / text_width(list(words.values()), 1), height / values.shape[0] * 72 * 0.7
    )
    colors = mpl.colormaps["Blues"]
    for (row, column), word in words.items():
        if values[row, column] > 0:
            ink = ink_for(colors(float(values[row, column] / ceiling)))
            ax.text(column, row, word, ha="center", va="center", fontsize=min(SIZE, room), color=ink)
