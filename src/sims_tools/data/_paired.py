"""RNA and protein of the same cells, wherever they lie: two modalities of a MuData, or proteins in `.obsm`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pandas as pd
from anndata import AnnData

from sims_tools._validate import listing

from ._align import check_unique
from ._features import PROTEIN, RNA
from ._matrix import check_matrix
from ._parts import Part, is_mudata, read_parts


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
        Of an AnnData: the entry of `.obsm` that holds the proteins.
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
    named = where.modalities if is_mudata(data) else None
    if named is None and isinstance(data, AnnData) and where.protein_obsm_key is None:
        raise ValueError("Of an AnnData, name the entry of `.obsm` that holds the proteins with `protein_obsm_key=`.")
    found = read_parts(
        data,
        modalities=named,
        layer=where.rna_layer,
        protein_layer=where.protein_layer,
        protein_obsm_key=where.protein_obsm_key if named is None else None,
    )
    rna, protein = (_in_order(found.parts[role], found.obs_names) for role in (RNA, PROTEIN))
    pair = Paired(rna, protein, where.rna_layer, where.protein_layer)
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


def _in_order(part: Part, cells: pd.Index) -> AnnData:
    """The cells of a modality in the order of the whole; a view where that is another one."""
    if part.rows is None:
        return part.adata
    missing = part.rows < 0
    if missing.any():
        raise ValueError(
            f"{int(missing.sum())} of {len(cells)} cells are not in {part.place} ({listing(cells[missing], 3)}); every "
            "cell needs both. Keep those that have: `mdata[names].copy()` with the `names` that the `obs_names` of the "
            "two modalities share."
        )
    return part.adata[part.rows]
