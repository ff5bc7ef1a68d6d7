"""Cells in two dimensions, coloured by their labels or anything else that is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from anndata import AnnData
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY
from sims_tools.data._obs_columns import obs_column
from sims_tools.pl._canvas import BAR_ROOM, PAD, Key, colour_bar, hand_back, inches
from sims_tools.pl._colors import GREY, label_colors
from sims_tools.pl._scatter import SCENE, find_basis, scatter

if TYPE_CHECKING:
    from mudata import MuData

_PANEL = 3.2  # inches
_TITLE = 0.35
_MOST_COLUMNS = 3


@docs.dedent
def embedding(
    adata: AnnData | MuData,
    basis: str = "X_umap",
    *,
    color: str | Sequence[str] = DEFAULT_KEY,
    ax: Axes | None = None,
    show: bool | None = None,
    return_fig: bool = False,
) -> Axes | list[Axes] | Figure | None:
    """Show cells where an embedding has put them, one panel for each column.

    Labels have the colours that scanpy's figures of the object use. Nothing is computed: for a UMAP of
    :func:`~sims_tools.tl.embed` run :func:`scanpy.pp.neighbors` with `use_rep=` and :func:`scanpy.tl.umap` before.

    Parameters
    ----------
    adata
        The cells, AnnData or MuData. They are not changed.
    basis
        Key in `.obsm`, with or without the prefix `X_`, of an embedding in two dimensions.
    color
        Columns of `.obs`: labels, or numbers such as a confidence.
    ax
        Axes to draw on, for a single column.
    %(show)s

    Returns
    -------
    The figure if `return_fig=True`; the axes, or a list of them for several columns, if `show=False`; else `None`.

    Raises
    ------
    KeyError
        `basis` or a column does not exist.
    ValueError
        The embedding does not have two dimensions, or several columns are to go on one `ax`.

    Examples
    --------
    >>> sims.pl.embedding(query, color=["sims", "sims_confidence"])
    """
    columns = [color] if isinstance(color, str) else list(color)
    for column in columns:
        obs_column(adata, column, "color")
    if ax is not None and len(columns) != 1:
        raise ValueError(f"`ax` has room for one column; `color` names {len(columns)}.")
    scene = AnnData(obs=pd.DataFrame(index=pd.RangeIndex(adata.n_obs).astype(str)))
    scene.obsm[SCENE] = _coordinates(adata, find_basis(adata, basis))
    keys = [_add(scene, adata, column, f"column {rank}") for rank, column in enumerate(columns)]
    axes = [ax] if ax is not None else _panels(keys)
    for rank, (panel, title, key) in enumerate(zip(axes, columns, keys, strict=True)):
        _draw(scene, f"column {rank}", title, panel, key)
    return hand_back(axes[0] if isinstance(color, str) else axes, show, return_fig)


def _coordinates(adata: AnnData | MuData, name: str) -> np.ndarray:
    points = np.asarray(adata.obsm[name])
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"`adata.obsm[{name!r}]` has shape {points.shape}; a figure shows two dimensions. Bring it to two, say "
            f"with sc.pp.neighbors(adata, use_rep={name!r}) and sc.tl.umap(adata), and draw 'X_umap'."
        )
    return points


def _add(scene: AnnData, adata: AnnData | MuData, column: str, name: str) -> Key | None:
    """Put a column into the scene; its legend, where it holds labels."""
    values = obs_column(adata, column, "color")
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        scene.obs[name] = values.to_numpy(dtype=np.float32, na_value=np.nan)
        return None
    colors = label_colors(adata, column)
    labels = pd.Categorical(values)
    scene.obs[name] = pd.Categorical.from_codes(labels.codes, categories=pd.Index(list(colors)))
    scene.uns[f"{name}_colors"] = list(colors.values())
    used = np.unique(labels.codes[labels.codes >= 0])
    return Key({each: colors[each] for each in (list(colors)[code] for code in used)}, _PANEL)


def _panels(keys: Sequence[Key | None]) -> list[Axes]:
    """Axes in rows of three, each with room for its legend or colour bar."""
    n_columns = min(len(keys), _MOST_COLUMNS)
    n_rows = ceil(len(keys) / n_columns)
    side = max(BAR_ROOM if key is None else key.width for key in keys) + PAD
    tall = max(_PANEL, *(_PANEL if key is None else key.height for key in keys)) + _TITLE
    width, height = n_columns * (_PANEL + side) + PAD, n_rows * tall + PAD
    figure = plt.figure(figsize=(width, height))
    axes = []
    for rank in range(len(keys)):
        row, column = divmod(rank, n_columns)
        corner = PAD + column * (_PANEL + side), height - row * tall - _TITLE - _PANEL
        axes.append(figure.add_axes((corner[0] / width, corner[1] / height, _PANEL / width, _PANEL / height)))
    return axes


def _draw(scene: AnnData, name: str, title: str, ax: Axes, key: Key | None) -> None:
    look: dict[str, Any] = {"color_map": "viridis", "colorbar_loc": None}
    scatter(scene, name, title, ax, na_color=GREY, **({"legend_loc": "none"} if key is not None else look))
    if key is not None:
        key.draw(ax, 1 + 0.08 / inches(ax)[0], 1.0)
    else:
        colour_bar(ax, ax.collections[-1], "")
