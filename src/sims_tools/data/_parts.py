"""The user's object taken apart into modalities, cells matched by name; it is only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import check_names, listing

from ._features import PROTEIN, RNA, ROLES
from ._in_memory import in_memory

_USUAL = {
    RNA: ("rna", "gex", "gene expression", "gene_expression", "transcriptome"),
    PROTEIN: ("protein", "prot", "proteins", "adt", "cite", "antibody capture", "antibody_capture", "ab"),
}
"""What modalities are usually called, in lower case."""


@dataclass(frozen=True)
class Part:
    """One modality of the cells of an object.

    Attributes
    ----------
    role
        "rna" or "protein".
    place
        What it is called in an error message.
    adata
        Its values, never written to.
    layer
        Layer of them; None is `.X`.
    rows
        (n_obs,) its row for each cell of the object, -1 for a cell that was not measured; None where rows and cells
        are the same.
    """

    role: str
    place: str
    adata: AnnData
    layer: str | None = None
    rows: np.ndarray | None = None


@dataclass(frozen=True)
class Parts:
    """The modalities of an object that are there, genes first.

    Attributes
    ----------
    obs_names
        (n_obs,) cells of the object.
    parts
        By role.
    names
        Of a MuData, its modality for each role; empty for an AnnData.
    """

    obs_names: pd.Index
    parts: Mapping[str, Part]
    names: Mapping[str, str]

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return len(self.obs_names)


def is_mudata(data: object) -> bool:
    """Whether it is a MuData."""
    return isinstance(data, MuData)


def read_parts(
    data: Any,
    *,
    modalities: Mapping[str, str] | None = None,
    layer: str | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    usual: Mapping[str, str] | None = None,
) -> Parts:
    """Take an object apart.

    Parameters
    ----------
    data
        MuData, or AnnData with or without proteins in `.obsm`.
    modalities
        Modality of a MuData for "rna", "protein" or both; None goes by what they are usually called.
    layer, protein_layer
        Layer of the genes and of the proteins; None is `.X`.
    protein_obsm_key
        Where an AnnData has proteins: array, sparse matrix or DataFrame.
    usual
        As `modalities`, to be tried first where those are None and these exist.

    Raises
    ------
    KeyError
        A modality or `.obsm` entry does not exist.
    TypeError
        `data` is something else, or proteins are no numbers.
    ValueError
        An argument does not go with the object, names of cells repeat, or a modality is empty.
    """
    if isinstance(data, AnnData):
        if modalities is not None or protein_layer is not None:
            given = "modalities" if modalities is not None else "protein_layer"
            raise ValueError(f"`{given}` is for a MuData; proteins of an AnnData are named with `protein_obsm_key`.")
        return _of_anndata(data, layer, protein_obsm_key)
    if not is_mudata(data):
        raise TypeError(f"`adata` is a {type(data).__name__}; expected an AnnData or MuData object.")
    if protein_obsm_key is not None:
        raise ValueError("`protein_obsm_key` is for an AnnData; name the modalities of a MuData with `modalities`.")
    if getattr(data, "axis", 0) != 0:
        raise ValueError("The modalities of `adata` share genes, not cells (`axis=1`); expected a MuData of `axis=0`.")
    chosen = _modalities(data, modalities, usual or {})
    parts = {role: _of_mudata(data, role, chosen[role], layer if role == RNA else protein_layer) for role in chosen}
    _tell_unpaired(parts, data.n_obs)
    return Parts(data.obs_names, parts, chosen)


def _of_anndata(adata: AnnData, layer: str | None, protein_obsm_key: str | None) -> Parts:
    parts = {RNA: Part(RNA, "`adata.X`" if layer is None else f"`adata.layers[{layer!r}]`", adata, layer)}
    if protein_obsm_key is not None:
        if protein_obsm_key not in adata.obsm:
            raise KeyError(
                f"`protein_obsm_key={protein_obsm_key!r}` is not in `adata.obsm`, which has {listing(adata.obsm)}."
            )
        proteins = proteins_of_obsm(adata, protein_obsm_key)
        parts[PROTEIN] = Part(PROTEIN, f"`adata.obsm[{protein_obsm_key!r}]`", proteins)
    return Parts(adata.obs_names, parts, {})


def proteins_of_obsm(adata: AnnData, key: str, names: Any = None) -> AnnData:
    """Proteins of `.obsm` as an object of their own, memory shared where that is possible.

    Parameters
    ----------
    adata
        The cells.
    key
        Entry of `.obsm`: array, sparse matrix or DataFrame.
    names
        (n_proteins,) names; None takes the columns of a DataFrame, or numbers the proteins.
    """
    values = in_memory(adata.obsm[key])
    if isinstance(values, pd.DataFrame):
        names = values.columns if names is None else names
        values = values.to_numpy()
    elif not sparse.issparse(values):
        values = np.asarray(values)
    if values.dtype.kind not in "biuf":
        raise TypeError(f"`adata.obsm[{key!r}]` holds values of type {values.dtype}; expected numbers.")
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"`adata.obsm[{key!r}]` has shape {values.shape}; expected (n_obs, n_proteins).")
    if names is None:
        logger.info("`adata.obsm[%r]` has no names: proteins are called by their number.", key)
        names = np.arange(values.shape[1])
    index = pd.Index(np.asarray(names).astype(str))
    if len(index) != values.shape[1] or not index.is_unique:
        raise ValueError(f"`adata.obsm[{key!r}]` has {values.shape[1]} proteins and names {listing(index)}.")
    return AnnData(values, obs=pd.DataFrame(index=adata.obs_names), var=pd.DataFrame(index=index))


def _modalities(mdata: Any, asked: Mapping[str, str] | None, usual: Mapping[str, str]) -> dict[str, str]:
    """Modality of each role, genes first."""
    if asked is not None:
        check_names("modality that a model reads", asked, ROLES)
        for role, name in asked.items():
            if name not in mdata.mod:
                raise KeyError(
                    f"`modalities[{role!r}]={name!r}` is not in `mdata.mod`, which has {listing(mdata.mod)}."
                )
        if not asked or len(set(asked.values())) < len(asked):
            raise ValueError(f"`modalities={dict(asked)!r}` must name a modality for each of {listing(ROLES)}.")
        return {role: asked[role] for role in ROLES if role in asked}
    found = {}
    for role in ROLES:
        named = [name for name in mdata.mod if name.lower() in _USUAL[role]]
        named = [usual[role]] if usual.get(role) in mdata.mod else named
        if len(named) == 1:
            found[role] = named[0]
    if not found:
        raise ValueError(
            f"Which of the modalities {listing(mdata.mod)} holds genes and which proteins? "
            'Pass `modalities={"rna": ..., "protein": ...}`.'
        )
    logger.info("Modalities: %s.", ", ".join(f"{role} is {name!r}" for role, name in found.items()))
    return found


def _of_mudata(mdata: Any, role: str, name: str, layer: str | None) -> Part:
    adata = mdata.mod[name]
    if not isinstance(adata, AnnData):
        raise TypeError(f"`mdata.mod[{name!r}]` is a {type(adata).__name__}; expected an AnnData.")
    if adata.n_obs == 0 or adata.n_vars == 0:
        raise ValueError(
            f"`mdata.mod[{name!r}]` is empty: it has {adata.n_obs} cells and {adata.n_vars} features. "
            "Leave it out with `modalities=`."
        )
    for names, whose in ((adata.obs_names, f"mdata.mod[{name!r}].obs_names"), (mdata.obs_names, "mdata.obs_names")):
        if not names.is_unique:
            repeated = listing(names[names.duplicated()].unique())
            raise ValueError(f"`{whose}` are not unique: {repeated} occur more than once; cells are matched by name.")
    place = f"`mdata.mod[{name!r}]`" if layer is None else f"layer {layer!r} of `mdata.mod[{name!r}]`"
    same = len(adata.obs_names) == mdata.n_obs and bool((adata.obs_names == mdata.obs_names).all())
    return Part(role, place, adata, layer, None if same else adata.obs_names.get_indexer(mdata.obs_names))


def _tell_unpaired(parts: Mapping[str, Part], n_obs: int) -> None:
    for part in parts.values():
        n_missing = 0 if part.rows is None else int((part.rows < 0).sum())
        if n_missing:
            logger.info(
                "%d of %d cells were not measured in %s: they are read from what else there is of them.",
                n_missing, n_obs, part.place,
            )  # fmt: skip


def spread_rows(matrix: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    """Rows of a matrix for each cell, nothing in that of a cell whose row is -1."""
    there = rows >= 0
    taken = matrix[rows[there]]
    ends = np.zeros(len(rows) + 1, dtype=np.int64)
    ends[1:][there] = np.diff(taken.indptr)
    return sparse.csr_matrix((taken.data, taken.indices, np.cumsum(ends)), shape=(len(rows), matrix.shape[1]))
