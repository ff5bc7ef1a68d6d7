"""Files of cells opened for reading, and the matrix that lies in one."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anndata

from sims_tools._validate import listing

H5AD, ZARR = ".h5ad", ".zarr"
"""Kinds of files that are read where they lie, by the ends of their names."""


def open_file(path: Path, closing: ExitStack) -> Any:
    """The root of an `.h5ad` file, which `closing` closes, or of a zarr store.

    Raises
    ------
    ValueError
        What is named `.h5ad` is not an HDF5 file.
    """
    if path.suffix.lower() != H5AD:
        import zarr

        return zarr.open_group(str(path), mode="r")
    import h5py

    try:
        return closing.enter_context(h5py.File(path, "r"))
    except OSError as error:
        raise ValueError(f"`{path}` is not an HDF5 file, or it is damaged: {error}") from error


def stored_matrix(root: Any, layer: str | None, name: str) -> Any:
    """The matrix of a file, left there.

    Parameters
    ----------
    root
        The file, open.
    layer
        Layer; None is `.X`.
    name
        What errors call the file.

    Raises
    ------
    KeyError
        There is no such layer.
    ValueError
        There is no `.X`.
    """
    layers = list(root["layers"]) if "layers" in root else []
    if layer is not None and layer not in layers:
        raise KeyError(f"`layer={layer!r}` is not in the layers of `{name}`, which has {listing(layers)}.")
    where = "X" if layer is None else f"layers/{layer}"
    if where not in root or root[where].attrs["encoding-type"] == "null":
        raise ValueError(f"`{name}` has no `.X`; name the layer that holds the counts with `layer=`.")
    return left_in_file(root[where])


def left_in_file(stored: Any) -> Any:
    """An array of a file as it is, of a sparse matrix anndata's handle."""
    return stored if hasattr(stored, "dtype") else anndata.io.sparse_dataset(stored)
