"""Checks whose message says what was found, what was expected and how to mend it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData


def as_plain(value: Any) -> Any:
    """A numpy number as a Python number; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def listing(names: Iterable[object], limit: int = 8) -> str:
    """The first few names, for an error message."""
    names = [str(name) for name in names]
    shown = ", ".join(repr(name) for name in names[:limit])
    return f"{shown}, ... ({len(names)} in all)" if len(names) > limit else shown or "none"


def _closest(value: object, known: Iterable[object]) -> str:
    """A sentence that names what was probably meant; nothing where nothing is close."""
    close = get_close_matches(str(value), [str(each) for each in known], n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def check_choice(name: str, value: object, choices: Collection[object]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"`{name}={value!r}` is not one of {listing(choices, 40)}.{_closest(value, choices)}")


def check_names(kind: str, given: Iterable[str], known: Collection[str]) -> None:
    """Raise TypeError unless all keyword names that were given are known."""
    for name in given:
        if name not in known:
            raise TypeError(f"{name!r} is not a {kind}.{_closest(name, known)} Known are {listing(known, 60)}.")


def check_object(adata: Any, expected: str = "an AnnData or a MuData") -> None:
    """Raise TypeError unless it is an object with slots; of a path, say how it is opened."""
    if hasattr(adata, "obs"):
        return
    hint = ""
    if isinstance(adata, str | Path):
        hint = (
            " Open the store and give the object: `anndata.experimental.read_lazy(path)` reads no more than is asked "
            "for, `anndata.read_h5ad(path)` or `anndata.read_zarr(path)` all of it."
        )
    elif isinstance(adata, list | tuple):
        hint = " Give one after the other."
    raise TypeError(f"`adata` is a {type(adata).__name__}; expected {expected}.{hint}")


def check_obs_key(adata: Any, key: str, argument: str) -> None:
    """Raise KeyError unless `key` is a column of `adata.obs`."""
    check_object(adata)
    if key not in adata.obs.columns:
        columns = adata.obs.columns
        raise KeyError(
            f"`{argument}={key!r}` is not a column of `adata.obs`; it has {listing(columns)}.{_closest(key, columns)}"
        )


def check_obsm_key(adata: AnnData, key: str, remedy: str) -> None:
    """Raise KeyError unless `key` is in `adata.obsm`."""
    check_object(adata)
    if key not in adata.obsm:
        raise KeyError(f"{key!r} is not in `adata.obsm`, which has {listing(adata.obsm.keys())}. {remedy}")


def check_positive(name: str, value: float, *, zero: bool = False) -> None:
    """Raise ValueError unless `value` is above zero (or zero, where that is allowed)."""
    if not (value >= 0 if zero else value > 0):
        raise ValueError(f"`{name}={value!r}` must be {'at least' if zero else 'above'} 0.")


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless `value` is None or a whole number above zero."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is not None and not (whole and value > 0):  # type: ignore[operator]
        raise ValueError(f"`{name}={value!r}` must be a whole number above 0, or None.")


def check_fraction(name: str, value: float, *, closed: bool = False) -> None:
    """Raise ValueError unless `value` lies in [0, 1), or in [0, 1] when `closed`."""
    if not (0 <= value <= 1 if closed else 0 <= value < 1):
        raise ValueError(f"`{name}={value!r}` must be a share between 0 and 1.")


def check_open_share(name: str, value: float) -> float:
    """A share strictly between 0 and 1, as a Python number.

    Raises
    ------
    ValueError
        It is not.
    """
    if not 0 < value < 1:
        raise ValueError(f"`{name}={value!r}` must be a share between 0 and 1, both excluded; for example 0.1.")
    return float(value)
