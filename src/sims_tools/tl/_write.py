"""The only code that writes into the user's object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools._validate import check_object
from sims_tools.data._in_memory import is_lazy
from sims_tools.data._parts import is_mudata


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
    mod_obsm, mod_uns
        For modalities of a MuData by name: matrices, one row for each cell of the modality, and what `.uns[key]` of
        the modality says of them.
    """

    obs: dict[str, pd.Series | pd.Categorical | np.ndarray] = field(default_factory=dict)
    obsm: dict[str, np.ndarray | sparse.csr_matrix] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    mod_obsm: dict[str, dict[str, sparse.csr_matrix]] = field(default_factory=dict)
    mod_uns: dict[str, dict[str, Any]] = field(default_factory=dict)


def check_target(adata: AnnData | MuData, *, copy: bool = False) -> None:
    """Raise where results could not be written.

    Parameters
    ----------
    adata
        What the user gave.
    copy
        Whether a copy is to be made.

    Raises
    ------
    TypeError
        It is neither an AnnData nor a MuData.
    ValueError
        It is a view of a backed object, or what cannot be copied.
    """
    check_object(adata)
    if not isinstance(adata, AnnData) and not is_mudata(adata):
        raise TypeError(f"`adata` is a {type(adata).__name__}; expected an AnnData or a MuData.")
    if copy and (adata.isbacked or is_lazy(adata)):
        raise ValueError(
            "`copy=True` would copy a file. Leave it out: results are written into the object in memory, and its file "
            "stays as it is; or copy `adata.to_memory()`."
        )
    if adata.isbacked and adata.is_view:
        raise ValueError("A view of a backed object cannot hold results; pass `adata.to_memory()` or the whole object.")


def write_annotation(adata: AnnData | MuData, keys: Keys, results: Results) -> None:
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
    earlier = _earlier(adata, keys)
    for slot in slots_of(earlier):
        _remove(adata, slot)
    for name, values in results.obs.items():
        adata.obs[name] = values
    for name, array in results.obsm.items():
        adata.obsm[name] = array
    slots = [f"obs/{name}" for name in results.obs] + [f"obsm/{name}" for name in results.obsm]
    for modality, arrays in results.mod_obsm.items():
        own = adata.mod[modality]
        _own(own)
        for name, array in arrays.items():
            own.obsm[name] = array
        own.uns[keys.uns] = results.mod_uns[modality]
        slots += [f"mod/obsm/{name}/{modality}" for name in arrays] + [f"mod/uns/{keys.uns}/{modality}"]
    adata.uns[keys.uns] = entry_of(results.uns, slots, earlier)


def entry_of(uns: Mapping[str, Any], slots: Sequence[str], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """What `.uns[key]` holds after an annotation.

    Parameters
    ----------
    uns
        What the annotation says.
    slots
        What it wrote beside this.
    earlier
        What was there before.
    """
    return {**uns, "slots": np.array(slots), **_training_part(earlier)}


def _remove(adata: AnnData | MuData, slot: str) -> None:
    """Take out what stands in a slot, if it still does."""
    axis, name = slot.split("/", 1)
    if axis == "mod":
        axis, name, modality = name.split("/", 2)
        if modality not in getattr(adata, "mod", {}):
            return
        adata = adata.mod[modality]
    if name in (table := getattr(adata, axis)):
        del table[name]


def write_training(adata: AnnData | MuData, keys: Keys, record: Mapping[str, Any], split: pd.Categorical) -> None:
    """Write what training leaves on the reference; an annotation under the same key keeps its own description."""
    _own(adata)
    earlier = _earlier(adata, keys)
    adata.obs[keys.split] = split
    adata.uns[keys.uns] = {**earlier, **_training_part(record)} if slots_of(earlier) else dict(record)


def write_scores(adata: AnnData | MuData, keys: Keys, name: str, scores: Mapping[str, Any]) -> None:
    """Write scores beside the annotation they are of, under a name; the next annotation takes them away."""
    _own(adata)
    adata.uns[keys.uns] = {**adata.uns[keys.uns], name: dict(scores)}


def write_study(adata: AnnData | MuData, keys: Keys, entry: Mapping[str, Any]) -> None:
    """Write the tables of a study in place of earlier ones under the same key."""
    _own(adata)
    adata.uns[keys.uns] = dict(entry)


def write_embedding(data: AnnData | MuData, name: str, embedding: np.ndarray) -> None:
    """Write an embedding (n_obs, n_latent) into `.obsm`, and nothing else."""
    _own(data)
    data.obsm[name] = embedding


def _own(adata: AnnData | MuData) -> None:
    if adata.is_view:
        adata._init_as_actual(adata.copy())


def _earlier(adata: AnnData | MuData, keys: Keys) -> Mapping[str, Any]:
    return as_earlier(adata.uns.get(keys.uns))


def as_earlier(entry: object) -> Mapping[str, Any]:
    """An entry of `.uns` where it is one of ours, nothing otherwise."""
    return entry if isinstance(entry, Mapping) and "classes" in entry else {}


def slots_of(entry: Mapping[str, Any]) -> list[str]:
    """What an earlier annotation wrote outside `.uns`."""
    return [str(slot) for slot in entry.get("slots", ())]


def _training_part(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What stays of a training record beside an annotation."""
    if "history" not in entry:
        return {}
    kept = {name: entry[name] for name in ("metrics", "history") if name in entry}
    return {**kept, "training_params": entry.get("training_params", entry.get("params", {}))}


def storable(value: Any) -> Any:
    """Plain data that h5ad and zarr can hold: None becomes "None", tuples and lists become arrays."""
    if isinstance(value, Mapping):
        return {str(name): storable(entry) for name, entry in value.items()}
    if value is None:
        return "None"
    if isinstance(value, list | tuple):
        return np.asarray(value)
    return value
