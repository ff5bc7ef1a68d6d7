"""What the CITE-seq autoencoder knows besides its weights, and how it reads cells."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from sims_tools._log import logger
from sims_tools._validate import check_choice, check_names, listing
from sims_tools.data._align import ENOUGH_COVERAGE, LEAST_COVERAGE, GeneMatch, match_genes
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._paired import Where, about, find_pair, read_modalities
from sims_tools.data._paired_cells import (
    PROTEIN_KINDS,
    RNA_KINDS,
    Form,
    PairedCells,
    check_forms,
    read_kinds,
)
from sims_tools.data._parts import is_mudata
from sims_tools.data._protein_names import match_proteins
from sims_tools.models._knowledge import Knowledge

READING = ("modalities", "rna_layer", "protein_layer", "protein_obsm_key", "rna_kind", "protein_kind")
"""Keyword parameters that say where the values of a query are, and what."""


class CITEKnowledge(Knowledge):
    """State that training, prediction and storage of :class:`~sims_tools.models.CITEAutoencoder` share."""

    proteins_: list[str]
    forms_: dict[str, Form]
    reconstruction_error_: dict[str, dict[str, float]]

    @property
    def proteins(self) -> np.ndarray:
        """(n_proteins,) names, in the order of the network's input."""
        return np.asarray(self.proteins_, dtype=object)

    @property
    def where(self) -> Where:
        """Where RNA and protein are in the object the model was set up with."""
        setup = self.registry_["setup_args"]
        return Where(
            **read_modalities(setup.get("modalities")),
            rna_layer=setup.get("rna_layer"),
            protein_layer=setup.get("protein_layer"),
            protein_obsm_key=setup.get("protein_obsm_key"),
        )

    def get_var_names(self, legacy_mudata_format: bool = False) -> dict[str, np.ndarray]:
        """Names of the features by the modality they are of, with or without cells.

        Parameters
        ----------
        legacy_mudata_format
            What scvi-tools passes; without effect.
        """
        where = self.where
        return {where.rna: self.genes, where.protein: self.proteins}

    def read_cells(self, adata: Any, **reading: Any) -> PairedCells:
        """Check cells and match their features with the model's by name; they are only read.

        Parameters
        ----------
        adata
            MuData or AnnData; None takes the cells the model was set up with.
        **reading
            Where the values are, and what: `modalities`, `rna_layer`, `protein_layer`, `protein_obsm_key`, `rna_kind`,
            `protein_kind`, as in the setup. Of the model's own cells, what is not named is as it was set up; of
            others, layers that are not named are `.X`.

        Raises
        ------
        KeyError, TypeError, ValueError
            See :meth:`~sims_tools.models.CITEAutoencoder.get_latent_representation`.

        Warns
        -----
        UserWarning
            More than 20 % of the genes or proteins are missing.
        """
        check_names("way to read cells", reading, READING)
        own = adata is None or adata is self.adata
        adata = self._own_object() if adata is None else adata
        pair = find_pair(adata, self._where_in(adata, reading, own))
        kinds = read_kinds(pair, self._kind(reading, "rna_kind"), self._kind(reading, "protein_kind"))
        check_forms(kinds, self.forms_)
        with about(RNA):
            genes = match_genes(pair.rna.var_names.astype(str), self.genes)
            _check_found(genes, RNA)
        with about(PROTEIN):
            proteins = match_proteins(pair.protein.var_names.astype(str), self.proteins_)
            _check_found(proteins, PROTEIN)
        return PairedCells(pair, kinds, genes=genes, proteins=proteins)

    def _where_in(self, adata: Any, reading: Mapping[str, Any], own: bool) -> Where:
        where = self.where if own else replace(self.where, rna_layer=None, protein_layer=None)
        layers = ("rna_layer", "protein_layer", "protein_obsm_key")
        given = {name: reading[name] for name in layers if reading.get(name) is not None}
        if reading.get("modalities") is not None:
            given |= read_modalities(reading["modalities"])
        return replace(where, **given)

    def _kind(self, reading: Mapping[str, Any], name: str) -> str:
        """What the values are said to be: now, or in the setup, or nothing ("auto")."""
        given = reading.get(name)
        return self.registry_["setup_args"].get(name) or "auto" if given in (None, "auto") else str(given)

    def _own_object(self) -> Any:
        if self.adata is None:
            raise ValueError("The model holds no cells (it was loaded); pass `adata`.")
        return self.adata

    def _own_labels(self) -> np.ndarray:
        """(n_obs,) codes of the model's own cells, -1 where unlabelled or without a classifier."""
        adata, key = self._own_object(), self.registry_["setup_args"].get("labels_key")
        if key is None:
            return np.full(adata.n_obs, -1)
        labels = labels_column(adata, key, self.where)
        return pd.Index(self.classes).get_indexer(pd.Index(labels.astype(str)))


def labels_modality(data: Any, labels_key: str, where: Where) -> str | None:
    """The modality whose `.obs` holds the labels; None for that of the object itself.

    Raises
    ------
    KeyError
        No `.obs` has such a column.
    """
    if labels_key in data.obs.columns:
        return None
    candidates = [where.rna, where.protein] if is_mudata(data) else []
    for name in candidates:
        if labels_key in data.mod[name].obs.columns:
            return name
    columns = {*data.obs.columns, *(column for name in candidates for column in data.mod[name].obs.columns)}
    raise KeyError(f"`labels_key={labels_key!r}` is not a column of `.obs`; there are {listing(sorted(columns))}.")


def labels_column(data: Any, labels_key: str, where: Where) -> pd.Series:
    """(n_obs,) labels in the order of the cells of the object."""
    modality = labels_modality(data, labels_key, where)
    column = data.obs[labels_key] if modality is None else data.mod[modality].obs[labels_key].loc[data.obs_names]
    return column


def check_kinds(rna_kind: str, protein_kind: str) -> None:
    """Raise ValueError where a kind of values is unknown."""
    check_choice("rna_kind", rna_kind, RNA_KINDS)
    check_choice("protein_kind", protein_kind, PROTEIN_KINDS)


def _check_found(match: GeneMatch, which: str) -> None:
    """Refuse cells that lack nearly all features, tell of any that are missing."""
    share, n = float(match.found.mean()), len(match.columns)
    missing = match.model_genes[~match.found]
    told = f"{int(match.found.sum())} of the model's {n} {'genes' if which == RNA else 'proteins'} are in the query"
    if share < LEAST_COVERAGE:
        raise ValueError(f"{told}: too few. The model knows {listing(match.model_genes, 5)}; are these other names?")
    if share < ENOUGH_COVERAGE:
        warnings.warn(f"{told}; missing: {listing(missing, 5)}. The latent space may be off.", UserWarning, 4)
    elif missing.size:
        logger.info("%s; missing, and taken as average: %s.", told, listing(missing, 5))
