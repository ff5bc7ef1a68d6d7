"""Small things of objects that are read lazily, brought into memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from sims_tools._validate import check_object, listing


def uns_entry(adata: Any, key: str, remedy: str) -> Any:
    """What stands under a key.

    Parameters
    ----------
    adata
        AnnData or MuData; of one that is read lazily, arrays and tables are read now.
    key
        Name of the entry.
    remedy
        What to do where there is none.

    Raises
    ------
    KeyError
        There is none.
    """
    check_object(adata)
    if key not in adata.uns:
        raise KeyError(f"{key!r} is not in `adata.uns`, which has {listing(adata.uns.keys())}. {remedy}")
    return in_memory(adata.uns[key])


def uns_or_nothing(adata: Any, key: str) -> Mapping[str, Any]:
    """What stands under a key; an empty mapping where nothing does, or no mapping."""
    check_object(adata)
    found = adata.uns.get(key)
    return in_memory(found) if isinstance(found, Mapping) else {}


def is_lazy(adata: Any) -> bool:
    """Whether an object was read lazily, so that its tables are in a file."""
    return not isinstance(adata.obs, pd.DataFrame)


def in_memory(value: Any) -> Any:
    """Arrays, tables, and mappings of these; what is in memory stays what it is."""
    if hasattr(value, "to_memory"):  # a table, which is a mapping, too
        return value.to_memory()
    if isinstance(value, Mapping):
        return {name: in_memory(entry) for name, entry in value.items()}
    if hasattr(value, "compute"):
        value = value.compute()
        return value.astype(object) if value.dtype.kind == "T" else value  # text, of zarr
    return value
