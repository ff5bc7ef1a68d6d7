"""One colour per label, the same that scanpy's figures of this object use."""

from __future__ import annotations

import matplotlib as mpl
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData
from matplotlib.colors import LinearSegmentedColormap, is_color_like
from mudata import MuData

from sims_tools._keys import UNKNOWN
from sims_tools.data._obs_columns import obs_column

GREY = "lightgrey"
_MAGMA = [mpl.colormaps["magma_r"](share) for share in np.linspace(0.12, 1, 32)]
POINT_MAP = LinearSegmentedColormap.from_list("mask_points", _MAGMA)
"""Mask weights above zero; pale, but not so pale that a point fades on white."""
MATRIX_MAP = LinearSegmentedColormap.from_list("mask_matrix", ["white", *_MAGMA])
"""Mask weights with zero, which is white."""


def label_colors(adata: AnnData | MuData, column: str) -> dict[str, str]:
    """Colours of all categories of `adata.obs[column]`, in their order: the user's if stored, else scanpy's."""
    names = [str(name) for name in pd.Categorical(obs_column(adata, column, "groupby")).categories]
    stored = [str(color) for color in np.asarray(adata.uns.get(f"{column}_colors", ()))]
    fits = len(stored) == len(names) and all(is_color_like(color) for color in stored)
    colors = dict(zip(names, stored if fits else default_colors(len(names)), strict=True))
    return {name: GREY if name == UNKNOWN else color for name, color in colors.items()}


def default_colors(count: int) -> list[str]:
    """The shortest of scanpy's palettes that has `count` colours; beyond 102 they repeat."""
    palettes = (sc.pl.palettes.default_20, sc.pl.palettes.default_28, sc.pl.palettes.default_102)
    palette = next((each for each in palettes if count <= len(each)), palettes[-1])
    return [palette[rank % len(palette)] for rank in range(count)]
