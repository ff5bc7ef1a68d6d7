"""Cells in a file, opened so that their matrix stays there where the file allows it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anndata
from anndata import AnnData

from sims_tools._validate import listing

from ._cells_in_file import FileCells
from ._read_cells import check_path, read_cells
from ._stored_matrix import H5AD, ZARR, open_file, stored_matrix


def open_cells(path: str | Path, layer: str | None, closing: ExitStack) -> AnnData | FileCells:
    """Labels, names and one matrix of a file.

    Parameters
    ----------
    path
        As :func:`~sims_tools.data.read_cells` takes it. Of `.h5ad` and `.zarr` the matrix is read when it is needed,
        row by row, so are columns of `.obs`, and no other part of the file is; any other file is read whole.
    layer
        Layer that holds the counts; None is `.X`.
    closing
        Closes the file.

    Returns
    -------
    Cells whose `.X` is that matrix: in the file, or an AnnData of a file that is read whole.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As :func:`~sims_tools.data.read_cells`.
    KeyError
        There is no such layer.
    """
    path = check_path(path)
    kind = path.suffix.lower()
    if kind not in (H5AD, ZARR):
        adata = read_cells(path)
        return adata if layer is None else _of_layer(adata, layer)
    store = open_file(path, closing)
    if not _is_current(store):
        adata = anndata.read_h5ad(path) if kind == H5AD else anndata.read_zarr(path)
        return adata if layer is None else _of_layer(adata, layer)
    return FileCells(stored_matrix(store, layer, path.name), store["obs"], anndata.io.read_elem(store["var"]), path)


def _is_current(store: Any) -> bool:
    """Whether each part says how it is written, as it does since anndata 0.8."""
    parts = [store[name] for name in ("obs", "var", "X") if name in store]
    return all("encoding-type" in part.attrs for part in parts)


def _of_layer(adata: AnnData, layer: str) -> AnnData:
    names = [name for name in adata.layers if name is not None]
    if layer not in names:
        raise KeyError(f"`layer={layer!r}` is not in `adata.layers`, which has {listing(names)}.")
    return AnnData(adata.layers[layer], obs=adata.obs, var=adata.var)
