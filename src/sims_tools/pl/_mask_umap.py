"""The embedding by label and confidence, beside the genes that decided."""

from __future__ import annotations

from math import ceil

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from mudata import MuData

from sims_tools._keys import Keys
from sims_tools.data._mask_stats import gene_object
from sims_tools.data._obs_columns import obs_column
from sims_tools.pl._canvas import PAD, Key
from sims_tools.pl._colors import GREY, POINT_MAP
from sims_tools.pl._mask_cells import top_of_scale
from sims_tools.pl._mask_inputs import MaskInputs
from sims_tools.pl._scatter import SCENE, find_basis, scatter
from sims_tools.pl._text import shorten

_PANEL = 2.3  # inches
_GAP = 0.55  # between panels: a colour bar and its numbers, or a title
_MOST_COLUMNS = 4


def draw_umap(adata: AnnData | MuData, inputs: MaskInputs, key: str, basis: str) -> list[Axes]:
    """One panel for the labels, one for the confidence, one for each gene."""
    confidence = Keys(key).confidence
    scene, titles = _scene(adata, inputs, confidence, _places(adata, key, basis))
    n_columns = min(len(titles), _MOST_COLUMNS)
    n_rows = ceil(len(titles) / n_columns)
    colors = {name: inputs.colors[name] for name in inputs.groups}
    width = n_columns * (_PANEL + _GAP) + PAD
    height = n_rows * (_PANEL + 0.35) + PAD
    legend = Key(colors, height - PAD, title=shorten([inputs.column])[0])
    height = max(height, legend.height + 2 * PAD)
    full = width + legend.width + PAD
    figure = plt.figure(figsize=(full, height))
    axes = []
    for rank, (values, title) in enumerate(zip(scene.obs.columns, titles, strict=True)):
        row, column = divmod(rank, n_columns)
        corner = (PAD + column * (_PANEL + _GAP), height - (row + 1) * (_PANEL + 0.35))
        ax = figure.add_axes((corner[0] / full, corner[1] / height, _PANEL / full, _PANEL / height))
        axes.append(_panel(scene, values, title, ax))
    legend.draw(figure, width / full, 1 - 0.1 / height)
    return axes


def _places(adata: AnnData | MuData, key: str, basis: str) -> np.ndarray:
    """(n_obs, 2) of `.obsm`; of a MuData also of that of its genes, NaN for a cell that was not measured there."""
    genes, wanted = gene_object(adata, key), {basis, f"X_{basis}"}
    if wanted.isdisjoint(adata.obsm) and not wanted.isdisjoint(genes.obsm):
        rows = genes.obs_names.get_indexer(adata.obs_names)
        return np.where((rows >= 0)[:, None], np.asarray(genes.obsm[find_basis(genes, basis)])[rows, :2], np.nan)
    return np.asarray(adata.obsm[find_basis(adata, basis)])[:, :2]


def _scene(
    adata: AnnData | MuData, inputs: MaskInputs, confidence: str, places: np.ndarray
) -> tuple[AnnData, list[str]]:
    """A small object that holds what is drawn and nothing else (scanpy writes colours into what it draws)."""
    columns = inputs.strongest(inputs.masks.total())
    weights = inputs.stored.weights.dense_columns(columns)
    titles = [inputs.column]
    values: dict[str, object] = {"label": pd.Categorical.from_codes(inputs.codes, categories=pd.Index(inputs.groups))}
    if confidence in adata.obs:
        titles.append(confidence)
        values["confidence"] = obs_column(adata, confidence, "key").to_numpy(dtype=np.float32)
    for column, weight in zip(columns, weights.T, strict=True):
        titles.append(inputs.names[column])
        values[f"gene {column}"] = np.where(weight > 0, weight, np.nan)
    frame = pd.DataFrame(values, index=pd.RangeIndex(adata.n_obs).astype(str))
    scene = AnnData(obs=frame, obsm={SCENE: places})
    scene.uns["label_colors"] = [inputs.colors[name] for name in inputs.groups]
    return scene, titles


def _panel(scene: AnnData, column: str, title: str, ax: Axes) -> Axes:
    """Draw one column of the scene."""
    look: dict[str, object] = {"legend_loc": "none"}
    if column == "confidence":
        look = {"color_map": "viridis", "vmin": 0.0, "vmax": 1.0}
    elif column != "label":
        look = {
            "color_map": POINT_MAP,
            "vmin": 0.0,
            "vmax": top_of_scale(scene.obs[column].to_numpy()),
            "na_color": GREY,
        }
    return scatter(scene, column, title, ax, **look)
