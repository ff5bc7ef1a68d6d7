"""Cells as points in two dimensions that were computed before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import scanpy as sc
from anndata import AnnData
from matplotlib.axes import Axes

from sims_tools._validate import check_object, listing
from sims_tools.pl._text import shorten

if TYPE_CHECKING:
    from mudata import MuData

SCENE = "X_scene"
"""Where a scene, a small object that holds what is drawn and nothing else, has its coordinates."""


def find_basis(adata: AnnData | MuData, basis: str) -> str:
    """The key in `.obsm`, which may be given without its "X_"."""
    check_object(adata)
    for name in (basis, f"X_{basis}"):
        if name in adata.obsm:
            return name
    raise KeyError(
        f"`basis={basis!r}` is not in `adata.obsm`, which has {listing(adata.obsm.keys())}. "
        "For a UMAP run sc.pp.pca(adata), sc.pp.neighbors(adata) and sc.tl.umap(adata)."
    )


def scatter(scene: AnnData, column: str, title: str, ax: Axes, **look: Any) -> Axes:
    """Draw one column of a scene."""
    size = min(120_000 / max(scene.n_obs, 1), 25)
    sc.pl.embedding(scene, SCENE, color=column, ax=ax, size=size, frameon=False, show=False, title="", **look)
    ax.set_title(shorten([title], 28)[0], fontsize=10, parse_math=False)
    return ax
