"""Methods beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools.pl._canvas import hand_back
from sims_tools.pl._study import (
    COLORS,
    is_share,
    log_axis,
    points,
    row_panels,
    score_axis,
    scores_of,
    title_of,
)
from sims_tools.pl._text import SIZE

_DEFAULT = ("accuracy", "macro_f1", "median_f1", "train_seconds")


@docs.dedent
def benchmark(
    adata: AnnData | MuData,
    *,
    study: str = "benchmark",
    metrics: Sequence[str] = _DEFAULT,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure | None:
    """Show the scores of each method: a point for each group or fold, and a line at their mean.

    Methods stand in the order of their mean of the first score. Seconds have a logarithmic axis, and the line at their
    median.

    Parameters
    ----------
    adata
        Cells with a study. It is not changed.
    study
        The `key_added` of :func:`sims_tools.tl.benchmark`.
    metrics
        Scores to draw, one panel each.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; a list with the axes of each panel if `show=False`; else `None`.

    Examples
    --------
    >>> sims.tl.benchmark(adata, "cell_type", ["sims", "logistic_regression", "knn"])
    >>> sims.pl.benchmark(adata, metrics=["macro_f1", "ece"])
    """
    table = scores_of(adata, study, metrics)
    means = table.groupby("model", sort=False)[metrics[0]].mean()
    order = list(means.sort_values(ascending=not is_share(metrics[0]), kind="stable", na_position="last").index)
    axes = row_panels([str(name) for name in order], len(metrics))
    rows = table["model"].map({name: rank for rank, name in enumerate(order)}).to_numpy(dtype=float)
    for ax, name in zip(axes, metrics, strict=True):
        _draw(ax, table, name, rows)
    return hand_back(axes, show, return_fig)


def _draw(ax: Axes, table: pd.DataFrame, name: str, rows: np.ndarray) -> None:
    values = table[name].to_numpy(dtype=float)
    points(ax, rows, values, COLORS[0], size=16, alpha=0.55)
    seconds = name.endswith("_seconds")
    for row in np.unique(rows):
        of_row = values[(rows == row) & np.isfinite(values)]
        if of_row.size:
            middle = np.median(of_row) if seconds else of_row.mean()
            ax.plot([middle, middle], [row - 0.28, row + 0.28], color=COLORS[1], linewidth=2, zorder=4)
    if seconds:
        log_axis(ax, values)
    else:
        score_axis(ax, name, values)
    ax.set_xlabel(title_of(name), fontsize=SIZE + 1)
