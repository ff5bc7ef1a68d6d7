"""Embeddings for TensorBoard's projector, by way of a Lightning logger."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sims_tools.data._obs_columns import obs_column
from sims_tools.pl._scatter import find_basis

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def projector(
    adata: AnnData | MuData,
    basis: str,
    *,
    logger: Any,
    color: str | Sequence[str] = (),
    tag: str = "cells",
    global_step: int | None = None,
) -> None:
    """Hand an embedding to TensorBoard's projector, which turns it about by PCA, UMAP and t-SNE in the browser.

    Run `tensorboard --logdir <the folder>` to look at it. Nothing is written into the object.

    Parameters
    ----------
    adata
        The cells, AnnData or MuData.
    basis
        Key in `.obsm`, with or without the prefix `X_`: what :func:`~sims_tools.tl.embed` wrote, say.
    logger
        A :class:`lightning.pytorch.loggers.TensorBoardLogger`, such as training was given, or the folder to log to.
    color
        Columns of `.obs` that points can be coloured and searched by.
    tag
        Name of the embedding in the projector.
    global_step
        Step to file it under; None files it under step 0.

    Raises
    ------
    KeyError
        `basis` or a column does not exist.
    ModuleNotFoundError
        TensorBoard is not installed.
    TypeError
        `logger` cannot take embeddings.

    Examples
    --------
    >>> sims.pl.projector(mdata, "X_cite", logger="runs", color="cell_type")
    """
    name = find_basis(adata, basis)
    points = np.asarray(adata.obsm[name])
    columns = [color] if isinstance(color, str) else list(color)
    rows = [[_cell(value) for value in obs_column(adata, column, "color").astype(object)] for column in columns]
    metadata: dict[str, Any] = {}
    if len(columns) == 1:
        metadata = {"metadata": rows[0]}
    elif columns:
        metadata = {"metadata": [list(row) for row in zip(*rows, strict=True)], "metadata_header": columns}
    writer = _writer(logger)
    writer.add_embedding(points, tag=tag, global_step=global_step, **metadata)
    writer.flush()


def _cell(value: object) -> str:
    """Text for a table whose cells are parted by tabs and lines."""
    return " ".join(str(value).split()) or "-"


def _writer(logger: Any) -> Any:
    """What takes embeddings: TensorBoard's own writer."""
    if find_spec("tensorboard") is None:
        raise ModuleNotFoundError("The projector needs TensorBoard: `pip install 'sims-tools[tensorboard]'`.")
    if isinstance(logger, str | Path):
        from lightning.pytorch.loggers import TensorBoardLogger

        logger = TensorBoardLogger(save_dir=logger, name="", version="")
    writer = getattr(logger, "experiment", None)
    if not hasattr(writer, "add_embedding"):
        raise TypeError(
            f"`logger` is a {type(logger).__name__}, which takes no embeddings; expected a "
            "TensorBoardLogger of Lightning, or the folder to log to."
        )
    return writer
