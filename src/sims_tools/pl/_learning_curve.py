"""What becomes of the scores with fewer training cells."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._validate import check_choice
from sims_tools.get import study_df
from sims_tools.pl._canvas import hand_back
from sims_tools.pl._study import COLORS, frame, scores_of, title_of
from sims_tools.pl._text import SIZE

_CURVES = ("loss", "median_f1", "accuracy")


@docs.dedent
def learning_curve(
    adata: AnnData | MuData,
    *,
    study: str = "learning_curve",
    metrics: Sequence[str] = ("median_f1", "macro_f1", "accuracy"),
    curves: Sequence[str] | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure | None:
    """Show scores by the number of training cells, as figures 0.17 to 0.19 of the thesis :cite:p:`lehrer2022sims`.

    First, the scores of the test cells: a point for each repeat, a line through their means. Then, epoch by epoch, what
    was tracked on the validation cells, a line for each fraction, the mean of the repeats. (In the thesis the first
    panel has the mean over the last ten epochs of the score on the validation cells.)

    Parameters
    ----------
    adata
        Cells with a study. It is not changed.
    study
        The `key_added` of :func:`sims_tools.tl.learning_curve`.
    metrics
        Scores of the first panel.
    curves
        What to draw epoch by epoch, "loss" or scores, a panel each; by default loss, median F1 and accuracy, or nothing
        where the method does not track its training.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; a list with the axes of each panel if `show=False`; else `None`.

    Examples
    --------
    >>> sims.tl.learning_curve(adata, "cell_type", fractions=[0.1, 0.3, 1])
    >>> sims.pl.learning_curve(adata, curves=["loss"])
    """
    table = scores_of(adata, study, metrics)
    history = _history(adata, study, curves)
    names = list(_CURVES if curves is None else curves) if history is not None else []
    axes = _panels(1 + len(names))
    _draw_scores(axes[0], table, metrics)
    if history is not None:
        for ax, name in zip(axes[1:], names, strict=True):
            _draw_epochs(ax, history, name)
        axes[-1].legend(
            title="fraction", fontsize=SIZE, title_fontsize=SIZE, frameon=False, loc="upper left", bbox_to_anchor=(1, 1)
        )
    return hand_back(axes, show, return_fig)


def _history(adata: AnnData | MuData, study: str, curves: Sequence[str] | None) -> pd.DataFrame | None:
    """What was tracked, with everything that is to be drawn in it; None where nothing is."""
    if curves is None and "history" not in adata.uns[study]:
        return None
    if curves is not None and not curves:
        return None
    history = study_df(adata, study, "history")
    tracked = [name.removesuffix("_validation") for name in history.columns if name.endswith("_validation")]
    known = (["loss"] if "validation_loss" in history.columns else []) + tracked
    for name in curves or ():
        check_choice("curves", name, known)
    return history if curves is not None or set(_CURVES) <= set(known) else None


def _panels(count: int) -> list[Axes]:
    columns = min(count, 4)
    rows = ceil(count / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.7 * columns + 0.7, 2.3 * rows + 0.1), squeeze=False, layout="constrained"
    )
    for spare in grid.flat[count:]:
        figure.delaxes(spare)
    return list(grid.flat[:count])


def _draw_scores(ax: Axes, table: pd.DataFrame, metrics: Sequence[str]) -> None:
    for rank, name in enumerate(dict.fromkeys(metrics)):
        color = COLORS[rank % len(COLORS)]
        by_fraction = table.groupby("fraction")[["n_train", name]].mean()
        ax.scatter(table["n_train"], table[name], s=9, color=color, alpha=0.5, linewidths=0)
        ax.plot(by_fraction["n_train"], by_fraction[name], color=color, linewidth=1.5, label=title_of(name),
                marker="o" if len(by_fraction) == 1 else None)  # fmt: skip
    ax.set_xscale("log")
    sizes = table.groupby("fraction")["n_train"].mean()
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticks(sizes.to_numpy(), [f"{size:,.0f}\n{share:g}" for share, size in sizes.items()])
    _thin_out(ax, np.log(sizes.to_numpy()))
    ax.set_xlabel("training cells, and fraction", fontsize=SIZE)
    ax.set_title("test cells", fontsize=SIZE + 2)
    ax.legend(fontsize=SIZE, frameon=False)
    frame(ax, ("left", "bottom"))


def _thin_out(ax: Axes, places: np.ndarray, share: float = 0.19) -> None:
    """Name no two ticks (rising places) that are nearer than a share of the axis, and name the last."""
    nearest = np.inf
    for label, place in zip(reversed(ax.get_xticklabels()), reversed(places), strict=True):
        label.set_visible(nearest - place >= share * np.ptp(places))
        nearest = place if label.get_visible() else nearest


def _draw_epochs(ax: Axes, history: pd.DataFrame, name: str) -> None:
    column = "validation_loss" if name == "loss" else f"{name}_validation"
    fractions = sorted(history["fraction"].unique())
    shades = mpl.colormaps["viridis_r"]
    for rank, share in enumerate(fractions):
        mean = history[history["fraction"] == share].groupby("epoch")[column].mean().dropna()
        ax.plot(mean.index, mean, color=shades(0.1 + 0.9 * rank / max(len(fractions) - 1, 1)), linewidth=1.3,
                label=f"{share:g}", marker="o" if len(mean) == 1 else None)  # fmt: skip
    ax.set_title(f"validation {title_of(name)}", fontsize=SIZE + 2)
    ax.set_xlabel("epoch", fontsize=SIZE)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    frame(ax, ("left", "bottom"))
