"""An entry of `.uns`, brought into memory where the object is read lazily."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    return _in_memory(adata.uns[key])


def uns_or_nothing(adata: Any, key: str) -> Mapping[str, Any]:
    """What stands under a key; an empty mapping where nothing does, or no mapping."""
    check_object(adata)
    found = adata.uns.get(key)
    return _in_memory(found) if isinstance(found, Mapping) else {}


def _in_memory(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _in_memory(entry) for name, entry in value.items()}
    if hasattr(value, "to_memory"):  # a table
        return value.to_memory()
    return value.compute() if hasattr(value, "compute") else value
