"""How a model does on each group that it was not trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools.pl._canvas import hand_back
from sims_tools.pl._study import (
    COLORS,
    legend,
    points,
    row_panels,
    score_axis,
    scores_of,
    title_of,
)
from sims_tools.pl._text import SIZE

_DEFAULT = ("balanced_accuracy", "weighted_accuracy", "macro_f1", "median_f1")


@docs.dedent
def cross_validation(
    adata: AnnData | MuData,
    *,
    study: str = "cross_validation",
    metrics: Sequence[str] = _DEFAULT,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure | None:
    """Show the scores of each held-out group, or fold: figures 0.15 and 0.16 of the thesis :cite:p:`lehrer2022sims`.

    A row for each group with the number of its cells; accuracies on the left, F1 scores on the right. A group without
    a cell of a class that was trained on has no point.

    Parameters
    ----------
    adata
        Cells with a study. It is not changed.
    study
        The `key_added` of :func:`sims_tools.tl.cross_validate`.
    metrics
        Scores to draw; F1 scores, calibration error and seconds get panels of their own.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; a list with the axes of each panel if `show=False`; else `None`.

    Examples
    --------
    >>> sims.tl.cross_validate(adata, "cell_type", groupby="donor")
    >>> sims.pl.cross_validation(adata)
    """
    table = scores_of(adata, study, metrics)
    kinds = _kinds(metrics)
    one_group = table["group"].nunique() == 1
    names = [f"{row.fold if one_group else row.group} ({row.n_test:,})" for row in table.itertuples()]
    axes = row_panels(names, len(kinds), legends=True)
    rows = np.arange(len(table), dtype=float)
    for ax, (kind, wanted) in zip(axes, kinds.items(), strict=True):
        colors = dict(zip(wanted, COLORS * len(wanted), strict=False))
        for rank, name in enumerate(wanted):
            offset = (rank - (len(wanted) - 1) / 2) * 0.18
            points(ax, rows + offset, table[name].to_numpy(dtype=float), colors[name])
        ax.set_xlabel(kind, fontsize=SIZE + 1)
        score_axis(ax, wanted[0], table[wanted].to_numpy(dtype=float))
        if len(wanted) > 1:
            legend(ax, {title_of(name).replace(kind, "").strip() or "all": color for name, color in colors.items()})
    return hand_back(axes, show, return_fig)


def _kinds(metrics: Sequence[str]) -> dict[str, list[str]]:
    """Scores that can share an axis, by what it is called, in the order in which they are named."""
    found: dict[str, list[str]] = {}
    for name in dict.fromkeys(metrics):
        kind = "F1" if name.endswith("_f1") else "accuracy" if "accuracy" in name else title_of(name)
        found.setdefault(kind, []).append(name)
    return found
