"""A column of `.obs`, wherever an object keeps it, for the cells of the object."""

from __future__ import annotations

from typing import Any

import pandas as pd

from sims_tools._log import logger
from sims_tools._validate import check_object, check_obs_key, listing

from ._parts import is_mudata

_NAMELESS = "_index"
"""What anndata calls an index in a file that has no name."""


def obs_column(data: Any, key: str, argument: str) -> pd.Series:
    """Values (n_obs,) of a column.

    Of a MuData it is looked for in `mdata.obs`; then, where the name is "rna:cell_type", in that modality; then in all
    modalities. A cell that its modality does not have has no value (NaN).

    Parameters
    ----------
    data
        AnnData or MuData; it is only read.
    key
        The column.
    argument
        Name of the argument that names it, for the error.

    Raises
    ------
    KeyError
        There is no such column, or several modalities of a MuData have one.
    ValueError
        There are several columns of that name.
    """
    check_object(data)
    if not is_mudata(data) or key in data.obs.columns:
        check_obs_key(data, key, argument)
        column = data.obs[key]
        if isinstance(column, pd.DataFrame):
            raise ValueError(f"`adata.obs` has {column.shape[1]} columns named {key!r}; rename or drop all but one.")
        if not isinstance(column, pd.Series):  # of an object that is read lazily
            column = data.obs[[key]].to_memory()[key]
        return column
    name, _, rest = key.partition(":")
    if name in data.mod and rest in data.mod[name].obs.columns:
        return _of_modality(data, name, rest)
    where = [name for name in data.mod if key in data.mod[name].obs.columns]
    if len(where) == 1:
        logger.info("`%s=%r` is a column of `mdata.mod[%r].obs`.", argument, key, where[0])
        return _of_modality(data, where[0], key)
    if where:
        choices = listing(f"{name}:{key}" for name in where)
        raise KeyError(f"`{argument}={key!r}` is a column of several modalities; say which of {choices} you mean.")
    columns = [*data.obs.columns, *(f"{name}:{column}" for name in data.mod for column in data.mod[name].obs.columns)]
    raise KeyError(
        f"`{argument}={key!r}` is not a column of `mdata.obs` or of the `.obs` of a modality; "
        f"there are {listing(columns, 20)}."
    )


def cell_names(data: Any) -> pd.Index:
    """Names of the cells (n_obs,), called as in memory where the object is read lazily."""
    return data.obs_names.rename(None) if data.obs_names.name == _NAMELESS else data.obs_names.copy()


def _of_modality(mdata: Any, name: str, key: str) -> pd.Series:
    return mdata.mod[name].obs[key].reindex(mdata.obs_names)
