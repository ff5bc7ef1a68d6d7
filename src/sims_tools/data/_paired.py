"""RNA and protein of the same cells, wherever they lie: two modalities of a MuData, or proteins in `.obsm`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools._validate import check_obsm_key, listing

from ._align import check_unique
from ._features import PROTEIN, RNA
from ._matrix import check_matrix
from ._parts import is_mudata


@dataclass(frozen=True)
class Where:
    """Where RNA and protein are in an object.

    Attributes
    ----------
    rna, protein
        Names of the modalities of a MuData.
    rna_layer, protein_layer
        Layers of theirs; None reads `.X`.
    protein_obsm_key
        Of an AnnData: the DataFrame in `.obsm` that holds the proteins.
    """

    rna: str = RNA
    protein: str = PROTEIN
    rna_layer: str | None = None
    protein_layer: str | None = None
    protein_obsm_key: str | None = None

    @property
    def modalities(self) -> dict[str, str]:
        """Names of the modalities by what they are."""
        return {RNA: self.rna, PROTEIN: self.protein}


@dataclass(frozen=True)
class Paired:
    """RNA and protein of the same n cells, in the same order.

    Attributes
    ----------
    rna, protein
        Objects, or views of them, whose rows are the cells.
    rna_layer, protein_layer
        Where the values are in them; None is `.X`.
    """

    rna: AnnData
    protein: AnnData
    rna_layer: str | None = None
    protein_layer: str | None = None

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return self.rna.n_obs


def read_modalities(modalities: Mapping[str, str] | None) -> dict[str, str]:
    """Names of the modalities by what they are, checked; None takes "rna" and "protein".

    Raises
    ------
    ValueError
        It does not name RNA and protein, or one name for both.
    """
    given = {RNA: RNA, PROTEIN: PROTEIN} if modalities is None else dict(modalities)
    if set(given) != {RNA, PROTEIN} or given[RNA] == given[PROTEIN]:
        raise ValueError(
            f"`modalities={given!r}` must name two modalities of the MuData: "
            "{'rna': name of the RNA, 'protein': name of the proteins}."
        )
    return given


def find_pair(data: Any, where: Where) -> Paired:
    """Find RNA and protein; nothing is copied but the order of cells, which is that of `data`.

    Parameters
    ----------
    data
        MuData, or AnnData with proteins in `.obsm`. It is only read.
    where
        Where they are.

    Raises
    ------
    KeyError
        A modality, layer or `.obsm` entry does not exist.
    TypeError
        It is neither, or the proteins have no names.
    ValueError
        A modality is empty, its names repeat, or a cell is missing from it.
    """
    pair = _in_mudata(data, where) if is_mudata(data) else _in_anndata(data, where)
    for which, adata, layer in ((RNA, pair.rna, pair.rna_layer), (PROTEIN, pair.protein, pair.protein_layer)):
        with about(which):
            check_matrix(adata, layer)
            check_unique(adata.var_names)
    return pair


@contextmanager
def about(which: str) -> Iterator[None]:
    """Name the modality in front of what is said of its matrix inside the block."""
    try:
        yield
    except KeyError as error:
        raise KeyError(f"{which}: {error.args[0]}") from error
    except (TypeError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else TypeError
        raise kind(f"{which}: {error}") from error


def _in_mudata(mdata: Any, where: Where) -> Paired:
    for argument, name in where.modalities.items():
        if name not in mdata.mod:
            raise KeyError(
                f"There is no modality {name!r} for {argument}; the MuData has {listing(mdata.mod)}. "
                "Name them with `modalities={'rna': ..., 'protein': ...}`."
            )
    rna, protein = mdata.mod[where.rna], mdata.mod[where.protein]
    return Paired(
        _in_order(rna, where.rna, mdata.obs_names),
        _in_order(protein, where.protein, mdata.obs_names),
        where.rna_layer,
        where.protein_layer,
    )


def _in_order(modality: AnnData, name: str, cells: pd.Index) -> AnnData:
    """The cells of a modality in the order of the whole; a view where that is another one."""
    if not modality.obs_names.is_unique:
        raise ValueError(f"Cell names of modality {name!r} repeat; run `mdata.mod[{name!r}].obs_names_make_unique()`.")
    order = modality.obs_names.get_indexer(cells)
    if (order < 0).any():
        n_missing = int((order < 0).sum())
        raise ValueError(
            f"{n_missing} of {len(cells)} cells are not in modality {name!r} ({listing(cells[order < 0], 3)}); every "
            "cell needs both. Keep those that have: `mdata[names].copy()` with the `names` that the `obs_names` of the "
            "two modalities share."
        )
    return modality if np.array_equal(order, np.arange(modality.n_obs)) else modality[order]


def _in_anndata(adata: Any, where: Where) -> Paired:
    if not isinstance(adata, AnnData):
        raise TypeError(
            f"`adata` is a {type(adata).__name__}; expected a MuData, or an AnnData with proteins in `.obsm`."
        )
    key = where.protein_obsm_key
    if key is None:
        raise ValueError("Of an AnnData, name the entry of `.obsm` that holds the proteins with `protein_obsm_key=`.")
    if where.protein_layer is not None:
        raise ValueError("`protein_layer` is for a MuData; the proteins of an AnnData are in `.obsm`.")
    check_obsm_key(adata, key, "It has to hold the proteins as a DataFrame (cells x proteins).")
    table = adata.obsm[key]
    if not isinstance(table, pd.DataFrame):
        raise TypeError(
            f"`adata.obsm[{key!r}]` is a {type(table).__name__} without names of proteins; expected a DataFrame: "
            f"`pd.DataFrame(values, index=adata.obs_names, columns=names)`."
        )
    values = table.to_numpy()
    if values.dtype.kind not in "biuf":
        raise TypeError(f"`adata.obsm[{key!r}]` holds values of type {values.dtype}; expected numbers.")
    cells, names = pd.DataFrame(index=adata.obs_names), pd.DataFrame(index=table.columns.astype(str))
    return Paired(adata, AnnData(values, obs=cells, var=names), where.rna_layer)
