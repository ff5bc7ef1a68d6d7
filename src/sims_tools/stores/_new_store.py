"""A new store that holds the results of an annotation, and no matrix."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
from anndata import AnnData
from anndata.io import write_elem

from sims_tools._whole_file import whole_file
from sims_tools.data._stored_matrix import H5AD
from sims_tools.stores._append_hdf5 import no_space
from sims_tools.stores._elements import Element, write_element


def write_new(
    path: Path, names: Element, elements: Sequence[Element], n_obs: int, *, uns: tuple[str, dict[str, Any]]
) -> None:
    """Write results to a file or store of their own, whole or not at all.

    Parameters
    ----------
    path
        Ends with ".h5ad" or ".zarr".
    names
        Of the cells; its slot is "obs/" and the name of the index.
    elements, n_obs, uns
        As :func:`~sims_tools.stores._append_hdf5.append_hdf5` takes them.
    """
    try:
        if path.suffix.lower() == H5AD:
            import h5py

            with whole_file(path) as draft, h5py.File(draft, "w") as root:
                _write(root, names, elements, n_obs, uns)
        else:
            import zarr

            with _whole_folder(path) as draft:
                _write(zarr.open_group(str(draft), mode="w"), names, elements, n_obs, uns)
                zarr.consolidate_metadata(str(draft))
    except OSError as error:
        if error.errno == errno.ENOSPC or f"errno = {errno.ENOSPC}" in str(error):
            raise no_space(path.parent, error) from error
        raise


def _write(root: Any, names: Element, elements: Sequence[Element], n_obs: int, uns: tuple[str, dict[str, Any]]) -> None:
    write_elem(root, "/", AnnData(obs=pd.DataFrame(index=pd.Index([], dtype=object))))
    del root["obs"][root["obs"].attrs["_index"]]
    write_element(root, names, n_obs)
    root["obs"].attrs["_index"] = names.slot.removeprefix("obs/")
    for element in elements:
        write_element(root, element, n_obs)
    write_elem(root["uns"], *uns)
    columns = [each.slot.removeprefix("obs/") for each in elements if each.slot.startswith("obs/")]
    root["obs"].attrs["column-order"] = columns


@contextmanager
def _whole_folder(path: Path) -> Iterator[Path]:
    """A new name beside a folder; what is written there takes its place at the end of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}-{uuid4().hex}{path.suffix}")
    try:
        yield draft
        shutil.rmtree(path, ignore_errors=True)
        os.replace(draft, path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
