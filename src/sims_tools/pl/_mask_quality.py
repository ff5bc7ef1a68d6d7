"""Whether the masks can be believed, in one figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import listing
from sims_tools.data._in_memory import uns_entry
from sims_tools.pl._canvas import BAR_ROOM, PAD, hand_back, pitch_for
from sims_tools.pl._quality_panels import (
    STYLES,
    draw_agreement,
    draw_curves,
    draw_families,
    draw_legend,
    draw_loss,
    draw_stability,
)
from sims_tools.pl._text import label_ticks, shorten, text_width

_WIDE, _GAP = 1.65, 0.32  # inches of a panel of classes, and between two
_CURVES, _CURVE_HEIGHT = 2.5, 1.9  # inches of a panel of curves
_FAMILY = 0.4  # inches of a family
_BELOW, _ABOVE = 0.62, 0.35  # inches for the words under and over a panel
_USUAL = 20  # genes deleted, among the classes


@docs.dedent
def mask_quality(
    adata: AnnData | MuData,
    *,
    key: str = DEFAULT_KEY,
    n_genes: int | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> list[Axes] | Figure | None:
    """Show how far the masks can be believed.

    Above: accuracy when genes are deleted, and when only they are kept, for the genes that masks name and for others;
    bands span the random draws. The steeper the fall of masks on the left, and the earlier their rise on the right, the
    more faithful they are. Below, for each class: the accuracy it loses with its first genes, whether models trained
    again look at the same genes, whether these are its markers, and the share of the mask on genes that seldom make a
    cell type. What was not measured is left out.

    Parameters
    ----------
    adata
        Cells after :func:`sims_tools.tl.evaluate_masks`. It is not changed.
    %(key)s
    n_genes
        Number of deleted genes for which to show the classes, one of those that were measured; by default 20, or else
        the largest.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; a list with the axes of each panel if `show=False`; else `None`.

    Examples
    --------
    >>> sims.tl.evaluate_masks(query, model, "cell_type")
    >>> sims.pl.mask_quality(query)
    """
    tables = _tables(adata, key)
    by_class = tables["faithfulness_by_class"]
    n_genes = _measured(by_class, n_genes)
    classes = [str(name) for name in dict.fromkeys(by_class["class"])]
    panels = _panels(tables, classes, n_genes)
    names = shorten(classes)
    height = len(names) * pitch_for(len(names), wish=0.2, floor=0.8)
    left = max(text_width(names) + 2 * PAD, 0.7)
    lower = (
        sum(width for width, _ in panels) + _GAP * (len(panels) - 1) + (BAR_ROOM - PAD if _has_families(tables) else 0)
    )
    upper = 2 * _CURVES + _GAP + 0.25 + _legend_width()
    above, below = _ABOVE + _CURVE_HEIGHT + _BELOW + _ABOVE, _BELOW + 0.25  # the lower panels begin and end there
    size = (left + max(lower, upper) + PAD, above + height + below)
    figure = plt.figure(figsize=size)
    axes = _draw_above(figure, size, left, tables["faithfulness"])
    at = left
    for width, draw in panels:
        ax = _place(figure, size, at, above, width, height)
        draw(ax)
        axes.append(ax)
        at += width + _GAP
    label_ticks(axes[2].yaxis, names, height / len(names))
    return hand_back(axes, show, return_fig)


def _tables(adata: AnnData | MuData, key: str) -> dict[str, Any]:
    """What :func:`sims_tools.tl.evaluate_masks` left."""
    remedy = "Run `sims.tl.evaluate_masks(adata, model)` first."
    facts = uns_entry(adata, Keys(key).uns, remedy)
    if not isinstance(facts, Mapping) or "mask_quality" not in facts:
        raise KeyError(f"`adata.uns[{Keys(key).uns!r}]` has no 'mask_quality'. {remedy}")
    return dict(facts["mask_quality"])


def _measured(table: pd.DataFrame, n_genes: int | None) -> int:
    """A number of deleted genes for which there are accuracies."""
    lengths = sorted({int(length) for length in table.loc[table["action"] == "deleted", "n_genes"]})
    if n_genes is None:
        return _USUAL if _USUAL in lengths else lengths[-1]
    if n_genes not in lengths:
        raise ValueError(f"`n_genes={n_genes!r}` was not measured; there are {listing(lengths)}.")
    return int(n_genes)


Panel = tuple[float, Callable[[Axes], None]]


def _panels(tables: Mapping[str, Any], classes: list[str], n_genes: int) -> list[Panel]:
    """Width in inches and drawing of each panel of classes."""
    n_top = int(tables["params"]["n_top"])
    panels: list[Panel] = [(_WIDE, lambda ax: draw_loss(ax, tables["faithfulness_by_class"], classes, n_genes))]
    if "stability" in tables:
        panels.append((_WIDE, lambda ax: draw_stability(ax, tables["stability"], classes, n_top)))
    panels.append((_WIDE, lambda ax: draw_agreement(ax, tables["agreement"], classes)))
    if _has_families(tables):
        families = tables["families"]
        panels.append((_FAMILY * families["family"].nunique(), lambda ax: draw_families(ax, families, classes)))
    return panels


def _has_families(tables: Mapping[str, Any]) -> bool:
    return "families" in tables and len(tables["families"]) > 0


def _draw_above(figure: Figure, size: tuple[float, float], left: float, table: pd.DataFrame) -> list[Axes]:
    """The two panels of curves and what their colours mean."""
    axes = []
    for rank, (action, title) in enumerate(
        {"deleted": "accuracy without the genes", "kept": "with them alone"}.items()
    ):
        at = left + rank * (_CURVES + _GAP)
        ax = _place(figure, size, at, _ABOVE, _CURVES, _CURVE_HEIGHT)
        draw_curves(ax, table, action, title)
        axes.append(ax)
    axes[1].tick_params(axis="y", length=0, labelleft=False)
    draw_legend(figure, table, (left + 2 * (_CURVES + _GAP)) / size[0], 1 - _ABOVE / size[1])
    return axes


def _legend_width() -> float:
    return text_width([words for words, _, _ in STYLES.values()]) + 0.5


def _place(figure: Figure, size: tuple[float, float], left: float, top: float, width: float, height: float) -> Axes:
    """Axes whose place is given in inches from the upper left corner of the figure."""
    bottom = size[1] - top - height
    return figure.add_axes((left / size[0], bottom / size[1], width / size[0], height / size[1]))
