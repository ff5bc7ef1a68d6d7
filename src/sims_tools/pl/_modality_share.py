"""Which modality decided, as a picture."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY
from sims_tools.data._modality_share import share_table
from sims_tools.pl._canvas import PAD, Key, canvas, hand_back, inches, pitch_for, plain
from sims_tools.pl._text import SIZE, label_ticks, shorten, text_width

_COLORS = {"RNA": "#4c72b0", "protein": "#dd8452"}


@docs.dedent
def modality_share(
    adata: AnnData | MuData,
    *,
    key: str = DEFAULT_KEY,
    groupby: str | None = None,
    sort: bool = True,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """Show which groups of cells RNA decided, and which protein.

    A bar for each group: the mean share of the masks that lies on genes, and on proteins. A line over it spans the
    middle half of the cells.

    Parameters
    ----------
    adata
        Cells annotated with masks by a model of genes and proteins. It is not changed.
    %(key)s
    groupby
        Column of `.obs` with the groups; by default the annotation itself.
    sort
        Groups that protein decided at the top; False keeps the order of the categories.
    ax
        Axes to draw on.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes if `show=False`; else `None`.

    Examples
    --------
    >>> sims.pl.modality_share(mdata)
    """
    table = share_table(adata, groupby, key)
    table = table[table["n_cells"] > 0]
    if not len(table):
        raise ValueError("No cell of any group has a mask.")
    if sort:
        table = table.sort_values("rna", kind="stable")
    names = shorten([str(group) for group in table["group"]])
    places = np.arange(len(names))
    height = len(names) * pitch_for(len(names), wish=0.22, floor=0.8)
    legend = Key(_COLORS, height)
    ax = canvas(ax, 3.2, height, left=text_width(names) + 2 * PAD, right=legend.width + 0.4, bottom=0.5)
    ax.barh(places, table["rna"], height=0.72, color=_COLORS["RNA"])
    ax.barh(places, table["protein"], height=0.72, left=table["rna"], color=_COLORS["protein"])
    ax.hlines(places, table["rna_q25"], table["rna_q75"], color="black", linewidth=1)
    label_ticks(ax.yaxis, names, inches(ax)[1] / len(names))
    ax.set_ylim(len(names) - 0.4, -0.6)
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of the mask", fontsize=SIZE)
    ax.tick_params(axis="x", labelsize=SIZE)
    plain(ax)
    ax.grid(visible=False)
    ax.spines["bottom"].set_visible(True)
    legend.draw(ax, 1 + 0.25 / inches(ax)[0], 1)
    return hand_back(ax, show, return_fig)
