"""Cells that are read some at a time, as AnnData with what the network needs of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools.data._blocks import sample_positions
from sims_tools.data._rows import StoredRows


class CellSource(ABC):
    """What stores and objects of cells have in common.

    Attributes
    ----------
    rows
        Reads their values.
    var
        Table of the genes.
    n_obs
        Number of cells.
    obsm_key
        Entry of `.obsm` to be read with the values; None is none.
    """

    rows: StoredRows
    var: pd.DataFrame
    n_obs: int
    obsm_key: str | None

    def read(self, rows: slice | np.ndarray) -> AnnData:
        """Some cells: values as float32 CSR, names of genes, the entry of `.obsm` that is read; cells have no names.

        Parameters
        ----------
        rows
            A run of rows as a slice with start and stop, or indices, which rise.
        """
        values = self.rows.read(rows)
        obs = pd.DataFrame(index=pd.RangeIndex(values.shape[0]).astype(str))
        adata = AnnData(values, obs=obs, var=self.var)
        if self.obsm_key is not None:
            entry = self.obsm_rows(rows)
            adata.obsm[self.obsm_key] = entry.set_axis(obs.index) if isinstance(entry, pd.DataFrame) else entry
        return adata

    def sample(self) -> AnnData:
        """Some cells spread evenly over all, from which is told what the values are."""
        return self.read(sample_positions(self.n_obs))

    @abstractmethod
    def obsm_rows(self, rows: slice | np.ndarray) -> Any:
        """Of the entry of `.obsm`, an array, a sparse matrix or a frame."""
