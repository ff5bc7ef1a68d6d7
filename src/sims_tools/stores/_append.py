"""Results appended to a store on a disk, of whichever kind."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

from sims_tools.data._stored_matrix import H5AD
from sims_tools.stores._append_hdf5 import append_hdf5, check_hdf5
from sims_tools.stores._append_zarr import append_zarr, recover_zarr
from sims_tools.stores._elements import Element
from sims_tools.stores._plan import parts_folder
from sims_tools.stores._source import StoreRef


def append(
    store: StoreRef,
    elements: Sequence[Element],
    n_obs: int,
    *,
    uns: tuple[str, dict[str, Any]] | None = None,
    replaced: Sequence[str] = (),
) -> None:
    """Add results to a store: all of them or none.

    Parameters
    ----------
    store
        As :func:`check_appendable` takes it.
    elements, n_obs, uns, replaced
        As :func:`~sims_tools.stores._append_hdf5.append_hdf5` takes them.
    """
    if store.kind == H5AD:
        append_hdf5(store.path, elements, n_obs, uns=uns, replaced=replaced)
        return
    folder = parts_folder(store.path)
    is_ours = not folder.exists()
    folder.mkdir(exist_ok=True)
    append_zarr(store.path, folder, elements, n_obs, uns=uns, replaced=replaced)
    if is_ours:
        shutil.rmtree(folder)


def check_appendable(store: StoreRef) -> None:
    """Finish what a killed run has left of its writing, and raise where nothing could be appended.

    Raises
    ------
    FileNotFoundError
        There is no such store.
    OSError
        It cannot be written to, or is open elsewhere.
    ValueError
        It is remote.
    """
    if store.is_remote:
        raise ValueError(f"`{store.location}` is remote, so nothing is appended to it; give `output='results.h5ad'`.")
    path = store.path
    if not path.exists():
        raise FileNotFoundError(f"There is no store `{path}`.")
    for each in (path, path.parent):
        if not os.access(each, os.W_OK):
            raise PermissionError(f"`{each}` cannot be written to; give `output='results.h5ad'` where it can be.")
    if store.kind == H5AD:
        check_hdf5(path)
    else:
        recover_zarr(parts_folder(path))
