"""Which genes decided, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_choice, check_positive
from sims_tools.data._obs_columns import obs_column
from sims_tools.pl._canvas import hand_back
from sims_tools.pl._mask_bar import draw_bar
from sims_tools.pl._mask_cells import draw_cells
from sims_tools.pl._mask_heatmap import draw_heatmap
from sims_tools.pl._mask_inputs import mask_inputs
from sims_tools.pl._mask_umap import draw_umap

_N_GENES = {"umap": 6, "heatmap": 50, "cells": 50, "bar": 20}


@docs.dedent
def feature_masks(
    adata: AnnData | MuData,
    *,
    kind: Literal["umap", "heatmap", "cells", "bar"] = "umap",
    key: str = DEFAULT_KEY,
    groupby: str | None = None,
    genes: Sequence[str] | None = None,
    n_genes: int | None = None,
    basis: str = "X_umap",
    gene_symbols: str | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | list[Axes] | Figure | None:
    """Show which genes decided the annotation.

    A cell's feature mask gives every gene its share of the decision; most genes have none.

    Parameters
    ----------
    adata
        Annotated cells with masks: the result of :func:`~sims_tools.tl.annotate`. It is not changed. Of
        ``masks="mean"`` the heatmap, by the annotation itself, and the bars can be drawn.
    kind
        `"umap"`: the embedding coloured by label, by confidence, and by the mask weight of each gene.
        `"heatmap"`: labels x genes, mean mask of each label, every gene divided by its maximum.
        `"cells"`: cells x genes, cells sorted by label (of more than 2,000 cells an even share of each label).
        `"bar"`: genes by their mask summed over all cells, relative to the strongest; of ``masks="mean"`` over the
        cells that are called.
    %(key)s
    groupby
        Column of `adata.obs` with the labels; by default the annotation itself. Not used by `"bar"`.
    genes
        Genes to show, in this order, by the model's name or the name in `adata.var_names`; by default the strongest.
    n_genes
        How many of the strongest genes to show: by default 6 for `"umap"`, 20 for `"bar"`, else 50. Strongest means
        highest mean weight over all cells; for `"heatmap"` the highest norm over the labels' mean masks, so that
        rare labels count as much as common ones.
    basis
        Key in `adata.obsm` of the embedding, for `"umap"`.
    gene_symbols
        Column of `adata.var` with the names to print, where the model knows genes by their identifiers.
    ax
        Axes to draw on; not for `"umap"`, which draws several panels.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes if `show=False` (for `"umap"` a list: label, confidence, then one per
    gene); else `None`.

    Examples
    --------
    >>> sims.pl.feature_masks(adata)
    >>> sims.pl.feature_masks(adata, kind="heatmap", n_genes=30)
    """
    check_choice("kind", kind, _N_GENES)
    groupby = Keys(key).label if groupby is None else groupby
    obs_column(adata, groupby, "groupby")
    if n_genes is not None:
        if genes is not None:
            raise ValueError("Give either `genes` or `n_genes`, not both.")
        check_positive("n_genes", n_genes)
    n_shown = _N_GENES[kind] if n_genes is None else n_genes
    if kind == "bar":
        groupby = Keys(key).label
    inputs = mask_inputs(adata, key, groupby, genes, n_shown, gene_symbols, by_group=kind in ("heatmap", "bar"))
    axes: Axes | list[Axes]
    if kind == "umap":
        if ax is not None:
            raise ValueError(
                "`kind='umap'` draws several panels and makes its own figure; `ax` is for the other kinds."
            )
        axes = draw_umap(adata, inputs, key, basis)
    else:
        axes = {"heatmap": draw_heatmap, "cells": draw_cells, "bar": draw_bar}[kind](inputs, ax)
    return hand_back(axes, show, return_fig)
