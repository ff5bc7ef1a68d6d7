"""Cells that stay in a file: the matrix is read row by row, a column of `.obs` when it is asked for, names last."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata
import pandas as pd

_ONE_BY_ONE = "0.2.0"
"""Version of anndata's encoding of tables whose columns can be read by themselves."""


class FileColumns:
    """Columns of a stored `.obs`, each read when it is asked for; no names of rows.

    Parameters
    ----------
    group
        The stored table.
    """

    def __init__(self, group: Any) -> None:
        self._group = group
        self.columns = pd.Index([str(name) for name in group.attrs["column-order"]], dtype=object)

    @cached_property
    def _whole(self) -> pd.DataFrame | None:
        """The table, where its columns cannot be read by themselves."""
        if self._group.attrs.get("encoding-version") == _ONE_BY_ONE:
            return None
        return anndata.io.read_elem(self._group).reset_index(drop=True)

    def __getitem__(self, name: str) -> pd.Series:
        if self._whole is not None:
            return self._whole[name]
        return pd.Series(anndata.io.read_elem(self._group[name]), name=name)

    @property
    def names(self) -> pd.Index:
        """Names of the rows, read now."""
        return pd.Index(anndata.io.read_elem(self._group[self._group.attrs["_index"]]))


class FileCells:
    """What reading needs of an AnnData, of a file that is open.

    Ten million names of cells are more than half a gigabyte, so they are read only where somebody asks for them.

    Parameters
    ----------
    matrix
        (n_obs, n_vars) in the file.
    obs
        The stored table of cells.
    var
        Table of genes, in memory.
    path
        The file.
    """

    is_view = False
    layers: Mapping[str, Any] = {}

    def __init__(self, matrix: Any, obs: Any, var: pd.DataFrame, path: Path) -> None:
        self.X, self.var, self.path = matrix, var, path
        self.obs = FileColumns(obs)
        self.n_obs, self.n_vars = (int(length) for length in matrix.shape)
        self._stamp = _stamp(path)

    @property
    def var_names(self) -> pd.Index:
        """(n_vars,) names of the genes."""
        return self.var.index

    @cached_property
    def obs_names(self) -> pd.Index:
        """(n_obs,) names of the cells, read at the first call."""
        return self.obs.names

    def check_unchanged(self) -> None:
        """Raise RuntimeError where somebody wrote to the file, or took it away, since it was opened."""
        if _stamp(self.path) != self._stamp:
            raise RuntimeError(
                f"`{self.path}` was changed while it was read, so that its rows may be others. Nothing was written; "
                "start again when nobody writes to it."
            )


def _stamp(path: Path) -> tuple[tuple[int, int, int], ...]:
    """Which file it is, its size and when it was written; of a zarr store, of what describes it and its matrix."""
    named = ("", "X", "X/data", "X/indices", "obs")
    files = [path / part / name for part in named for name in ("zarr.json", ".zarray", ".zattrs")]
    found = [each.stat() for each in ([path] if path.is_file() else files) if each.exists()]
    return tuple((each.st_ino, each.st_size, each.st_mtime_ns) for each in found)
