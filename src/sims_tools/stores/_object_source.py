"""Cells of an object read as those of a store are."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools.data._matrix import parent_of
from sims_tools.data._obs_columns import obs_column
from sims_tools.data._rows import StoredRows
from sims_tools.stores._cell_source import CellSource


class ObjectSource(CellSource):
    """Reads an AnnData as :class:`~sims_tools.stores._source.Source` reads a store, in this process alone.

    Parameters
    ----------
    adata
        In memory, backed, dask or read lazily; it is only read.
    layer, obsm_key
        As :class:`~sims_tools.stores._source.StoreRef` has them.
    """

    location = "adata"

    def __init__(self, adata: AnnData, layer: str | None, obsm_key: str | None) -> None:
        self._adata, self.obsm_key = adata, obsm_key
        self.rows = StoredRows(adata, layer)
        self.n_obs: int = adata.n_obs
        self.var = pd.DataFrame(index=pd.Index(np.asarray(adata.var_names)))
        self.index: Any = _Names(adata)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def absolute(self) -> Self:
        """Itself."""
        return self

    def obsm_rows(self, rows: slice | np.ndarray) -> Any:
        """As of a store."""
        proteins = self._adata.obsm[self.obsm_key]
        some = proteins.iloc[rows] if isinstance(proteins, pd.DataFrame) else proteins[rows]
        return some.compute() if hasattr(some, "compute") else some

    def obs_column(self, name: str, argument: str) -> pd.Series:
        """As of a store."""
        return obs_column(self._adata, name, argument)

    def holds_obsm(self, key: str) -> bool:
        """As of a store."""
        return key in parent_of(self._adata).obsm


class _Names:
    """Names of the cells of an object, some at a time."""

    def __init__(self, adata: AnnData) -> None:
        self._names = adata.obs_names
        self.name = str(self._names.name or "_index")

    def __getitem__(self, rows: slice) -> np.ndarray:
        return np.asarray(self._names[rows], dtype=object)
