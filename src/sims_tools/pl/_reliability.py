"""Confidence against accuracy."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY
from sims_tools._validate import check_count
from sims_tools.pl._canvas import PAD, canvas, hand_back, plain
from sims_tools.pl._evaluation import evaluation, score
from sims_tools.pl._text import SIZE, text_width

_COLOR, _PALE = "#4c72b0", "#b7c5de"
_TRACK, _GAP = 0.17, 0.06  # shares of the height: numbers of cells, and what parts them from the rest
_SPARE = 0.02  # beyond 0 and 1, so that points there are whole


@docs.dedent
def reliability(
    adata: AnnData | MuData,
    labels_key: str | None = None,
    *,
    key: str = DEFAULT_KEY,
    n_bins: int | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """Show whether calls are right as often as their confidence says.

    For each bin of the confidence a point: the mean confidence of its cells, and the share of them whose most
    probable class is the true one, with its 95 %% Wilson interval. On the dashed line the two agree; below it calls
    are too sure. The bars below are the numbers of cells. ECE is the expected calibration error, the mean distance
    from the line. Cells of types the model does not know are left out.

    Parameters
    ----------
    adata
        Annotated cells. It is not changed.
    labels_key
        Column of `adata.obs` with the true labels; by default what :func:`sims_tools.tl.evaluate` has written is
        drawn.
    %(key)s
    n_bins
        Bins of the confidence; by default those of the evaluation, or 15.
    ax
        Axes to draw on.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes if `show=False`; else `None`.

    Examples
    --------
    >>> sims.pl.reliability(query, "cell_type")
    """
    check_count("n_bins", n_bins)
    tables = evaluation(adata, labels_key, key, n_bins)
    table = tables["reliability"]
    filled = table[table["n_cells"] > 0]
    most = f"{filled['n_cells'].max():,}"
    words = text_width([most, "0.0"]) + 0.18
    ax = canvas(ax, 2.7, 2.7 / (1 - _TRACK - _GAP), left=words + 0.2 + PAD, right=0.2, top=0.32, bottom=0.5)
    ax.plot([0, 1], [0, 1], color="grey", linestyle="--", linewidth=1, label="confidence = accuracy")
    low, high = filled["accuracy_low"], filled["accuracy_high"]
    ax.vlines(filled["confidence"], low, high, color=_PALE, linewidth=2.5, label="95 % interval")
    ax.plot(filled["confidence"], filled["accuracy"], color=_COLOR, linewidth=0.8, alpha=0.6)
    ax.plot(filled["confidence"], filled["accuracy"], "o", color=_COLOR, markersize=4.5, label="bins")
    _frame(ax)
    track = _numbers(ax, filled, most)
    for panel, word, middle in ((ax, "accuracy", (1 + _TRACK + _GAP) / 2), (track, "cells", 0.5)):
        panel.set_ylabel(word, fontsize=SIZE + 1)
        beside = panel.transAxes + ScaledTranslation(-words, 0, ax.figure.dpi_scale_trans)
        panel.yaxis.set_label_coords(0, middle, transform=beside)
    ax.set_title(f"ECE {score(tables, 'ece', 'known'):.3f}", fontsize=SIZE, loc="left")
    ax.set_title(f"{filled['n_cells'].sum():,} cells", fontsize=SIZE, loc="right")
    return hand_back(ax, show, return_fig)


def _frame(ax: Axes) -> None:
    """Shares from 0 to 1 on both axes, with room below for the numbers of cells."""
    plain(ax)
    room = (_TRACK + _GAP) / (1 - _TRACK - _GAP) * (1 + 2 * _SPARE)
    ax.set_xlim(-_SPARE, 1 + _SPARE)
    ax.set_ylim(-_SPARE - room, 1 + _SPARE)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.set_xticks(np.linspace(0, 1, 6))
    for side in ("left", "bottom"):
        ax.spines[side].set_visible(True)
        ax.spines[side].set_bounds(0, 1)
    ax.tick_params(labelsize=SIZE)
    ax.set_xlabel("confidence", fontsize=SIZE + 1)


def _numbers(ax: Axes, filled: pd.DataFrame, most: str) -> Axes:
    """Axes along the lower edge that say how many cells each bin has."""
    track = ax.inset_axes((0, 0, 1, _TRACK))
    widths = filled["upper"] - filled["lower"]
    track.bar(filled["lower"], filled["n_cells"], widths * 0.92, align="edge", color=_PALE)
    track.set_xlim(ax.get_xlim())
    track.set_ylim(0, filled["n_cells"].max())
    track.set_xticks([])
    track.set_yticks([0, filled["n_cells"].max()], labels=["0", most])
    track.tick_params(labelsize=SIZE)
    plain(track)
    track.spines["left"].set_visible(True)
    return track
