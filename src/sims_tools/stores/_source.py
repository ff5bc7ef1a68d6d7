"""A store of cells, opened for reading runs of rows; what is not asked for stays where it is."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from sims_tools._validate import listing
from sims_tools.data._rows import StoredRows
from sims_tools.data._stored_matrix import H5AD, ZARR, left_in_file, open_file, stored_matrix
from sims_tools.stores._cell_source import CellSource


@dataclass(frozen=True)
class StoreRef:
    """Where cells are, and which of their values are read; it can be sent to another process.

    Attributes
    ----------
    location
        Path, or URL as fsspec knows it.
    layer
        Layer of the values; None is `.X`.
    obsm_key
        Entry of `.obsm` to be read with them; None is none.
    """

    location: str
    layer: str | None = None
    obsm_key: str | None = None

    @property
    def kind(self) -> str:
        """What it is written as: `H5AD` or `ZARR`."""
        name = self.location.rstrip("/").lower()
        return H5AD if name.endswith(H5AD) else ZARR

    @property
    def is_remote(self) -> bool:
        """Whether it is a URL."""
        return is_url(self.location)

    @property
    def path(self) -> Path:
        """Of a store that is not remote."""
        return Path(self.location)

    def absolute(self) -> StoreRef:
        """The same, for a process that works in another folder."""
        return self if self.is_remote else replace(self, location=str(self.path.absolute()))


def is_url(location: object) -> bool:
    """Whether it names something that fsspec reads."""
    return isinstance(location, str) and "://" in location


class Source(CellSource):
    """Reads a store; a context manager that closes it.

    Parameters
    ----------
    store
        Where it is.

    Raises
    ------
    FileNotFoundError
        There is no such store.
    KeyError
        There is no such layer or entry of `.obsm`.
    ValueError
        It is not a store of cells, was written by anndata before 0.8, or has no matrix, cells or genes.
    ImportError
        It is remote, and fsspec is not installed.
    """

    def __init__(self, store: StoreRef) -> None:
        self.store = store
        self._closing = ExitStack()
        self.group = open_group(store, self._closing)
        try:
            _check_format(self.group, store)
            self.var: pd.DataFrame = anndata.io.read_elem(self.group["var"])
            self.index: Any = _names(self.group["obs"][self.group["obs"].attrs["_index"]])
            self.n_obs = int(self.index.shape[0])
            if self.n_obs == 0 or len(self.var) == 0:
                raise ValueError(f"`{store.location}` is empty: it has {self.n_obs} cells and {len(self.var)} genes.")
            self.rows = StoredRows.of_matrix(stored_matrix(self.group, store.layer, store.location))
            self.obsm_key = store.obsm_key
            self._obsm: Any = None if store.obsm_key is None else _obsm(self.group, store.obsm_key, store)
        except BaseException:
            self._closing.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def obs_names(self, rows: slice) -> np.ndarray:
        """Names of a run of cells."""
        return as_text(self.index[rows])

    def obs_column(self, name: str, argument: str) -> pd.Series:
        """(n_obs,) a column of `.obs`, whole.

        Raises
        ------
        KeyError
            There is no such column.
        """
        columns = [str(column) for column in self.group["obs"].attrs["column-order"]]
        if name not in columns:
            raise KeyError(
                f"`{argument}={name!r}` is not a column of `.obs` of `{self.store.location}`; it has "
                f"{listing(columns)}."
            )
        return pd.Series(anndata.io.read_elem(self.group["obs"][name]))

    def obsm_rows(self, rows: slice | np.ndarray) -> Any:
        """Of the entry of `.obsm`, an array, a sparse matrix or a frame."""
        if isinstance(self._obsm, dict):
            return pd.DataFrame({name: np.asarray(column[rows]) for name, column in self._obsm.items()})
        values = self._obsm[rows]
        return values if sparse.issparse(values) else np.asarray(values)

    def holds_obsm(self, key: str) -> bool:
        """Whether there is such an entry of `.obsm`."""
        return "obsm" in self.group and key in self.group["obsm"]


def open_group(store: StoreRef, closing: ExitStack) -> Any:
    """The root of a store, for reading."""
    if store.is_remote:
        return _open_remote(store)
    if not store.path.exists():
        raise FileNotFoundError(f"There is no store `{store.location}`.")
    return open_file(store.path, closing)


def read_column(path: Path, name: str) -> pd.Series:
    """A column of `.obs` of a store, which need not have a matrix."""
    with ExitStack() as closing:
        return pd.Series(anndata.io.read_elem(open_group(StoreRef(str(path)), closing)["obs"][name]))


def _open_remote(store: StoreRef) -> Any:
    try:
        import fsspec  # type: ignore[import-untyped]  # noqa: F401
    except ImportError as error:
        raise ImportError(f"Reading `{store.location}` needs fsspec: `pip install fsspec`.") from error
    if store.kind != ZARR:
        raise ValueError(f"`{store.location}`: of remote stores only .zarr can be read; copy the file to a disk first.")
    import zarr

    return zarr.open_group(store.location, mode="r")


def _check_format(group: Any, store: StoreRef) -> None:
    """Refuse what is no store of cells, and what anndata wrote otherwise than it does since 0.8."""
    if missing := [name for name in ("obs", "var") if name not in group]:
        raise ValueError(f"`{store.location}` is not a store of cells: it has no {listing(missing)}.")
    for name in ("obs", "var", "X", "obsm", "uns"):
        if name in group and "encoding-type" not in group[name].attrs:
            raise ValueError(
                f"`{store.location}` was written by anndata before 0.8, to which nothing can be appended. Read and "
                "write it once with a recent one: `anndata.read_h5ad(path).write_h5ad(new_path)`."
            )


def _names(held: Any) -> Any:
    """The array of an index; with pandas 3, anndata writes one of names that could be missing, as values and a mask."""
    return held if hasattr(held, "dtype") else held["values"]


def as_text(names: np.ndarray) -> np.ndarray:
    """Names as they are read from a file as text: bytes, numbers or objects as str."""
    return np.array([name.decode() if isinstance(name, bytes) else str(name) for name in names], dtype=object)


def _obsm(group: Any, key: str, store: StoreRef) -> Any:
    held = list(group["obsm"]) if "obsm" in group else []
    if key not in held:
        raise KeyError(f"{key!r} is not in `.obsm` of `{store.location}`, which has {listing(held)}.")
    entry = group["obsm"][key]
    if entry.attrs["encoding-type"] == "dataframe":
        return {str(name): entry[str(name)] for name in entry.attrs["column-order"]}
    return left_in_file(entry)
