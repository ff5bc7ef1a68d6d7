"""The only code that writes into the user's object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sims_tools._keys import Keys


@dataclass
class Results:
    """Everything one call adds to an object, complete before anything is written.

    Attributes
    ----------
    obs
        Columns, each (n_obs,).
    obsm
        Arrays or CSR matrices, each (n_obs, ...).
    uns
        Entries of `.uns[key]`.
    """

    obs: dict[str, pd.Series | pd.Categorical | np.ndarray] = field(default_factory=dict)
    obsm: dict[str, np.ndarray | sparse.csr_matrix] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)


def write_annotation(adata: AnnData, keys: Keys, results: Results) -> None:
    """Write an annotation in place of an earlier one under the same key; what training recorded stays.

    Parameters
    ----------
    adata
        The user's object; a view becomes an object of its own, as everywhere in anndata.
    keys
        Names of the slots.
    results
        What to write.
    """
    _own(adata)
    earlier = adata.uns.get(keys.uns)
    kept = {name: earlier[name] for name in ("history", "metrics") if name in earlier} if _is_ours(earlier) else {}
    for column in _stale_columns(adata, keys):
        del adata.obs[column]
    for slot in (keys.prob, keys.masks, keys.embedding):
        if slot in adata.obsm:
            del adata.obsm[slot]
    for name, values in results.obs.items():
        adata.obs[name] = values
    for name, array in results.obsm.items():
        adata.obsm[name] = array
    adata.uns[keys.uns] = {**results.uns, **kept}


def write_training(adata: AnnData, keys: Keys, record: Mapping[str, Any], split: pd.Categorical) -> None:
    """Write what training leaves on the reference."""
    _own(adata)
    adata.obs[keys.split] = split
    adata.uns[keys.uns] = dict(record)


def _own(adata: AnnData) -> None:
    if adata.is_view:
        adata._init_as_actual(adata.copy())


def _is_ours(entry: object) -> bool:
    return isinstance(entry, Mapping) and "classes" in entry


def _stale_columns(adata: AnnData, keys: Keys) -> list[str]:
    fixed = {keys.label, keys.confidence, keys.majority, keys.majority_share}
    ranked = {keys.top_label(rank) for rank in range(2, 100)} | {keys.top_prob(rank) for rank in range(2, 100)}
    return [column for column in adata.obs.columns if column in fixed or column in ranked]


def storable(value: Any) -> Any:
    """Plain data that h5ad and zarr can hold: None becomes "None", tuples and lists become arrays."""
    if isinstance(value, Mapping):
        return {str(name): storable(entry) for name, entry in value.items()}
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        return np.asarray(value)
    return value
