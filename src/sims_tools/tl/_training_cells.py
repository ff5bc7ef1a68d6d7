"""What a user trains on, one object or many: how it is read, and what is written into it."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools.data._joined import JoinedReference
from sims_tools.data._obs_columns import obs_column
from sims_tools.data._reference import Reference, read_reference
from sims_tools.data._references import are_references, for_each, groups_of, name_references, read_references
from sims_tools.data._shared_genes import check_join
from sims_tools.data._split import split_column
from sims_tools.tl._streaming import check_stream, may_stream
from sims_tools.tl._write import check_target, write_training

if TYPE_CHECKING:
    from sims_tools._keys import Keys
    from sims_tools.models import ClassifierModel

Split = tuple[np.ndarray, np.ndarray]

_FOR_ONE = ("modalities", "protein_layer", "protein_obsm_key")
"""Arguments of :func:`~sims_tools.data._reference.read_reference` that say where one object has proteins."""


class TrainingCells(Protocol):
    """Cells to train on; nothing is written before `write`."""

    def read(self, labels_key: Any, closing: ExitStack, reading: dict[str, Any]) -> Reference | JoinedReference:
        """Check and read; files stay open until `closing` closes."""
        ...

    def groups(self, split_by: Any) -> pd.Series:
        """(n_obs,) group of each cell."""
        ...

    def remember(self, model: ClassifierModel, split: Split, *, named: bool = True) -> None:
        """What the model is to know of them; their names only where these are read in any case."""
        ...

    def write(self, keys: Keys, record: dict[str, Any], split: Split) -> None:
        """Leave on the user's objects what training has to say."""
        ...


def training_cells(given: Any, join: str, stream: bool | str) -> TrainingCells:
    """What the user gave, checked as far as it goes without reading it.

    Raises
    ------
    TypeError, ValueError
        It is nothing to train on, or results could not be written to it.
    """
    check_join(join)
    check_stream(stream, given)
    return ManyReferences(given, join) if are_references(given) else OneReference(given, stream)


def in_words(value: Any) -> Any:
    """An argument that may differ between references, as text; the same for all as it is."""
    if value is None or isinstance(value, str):
        return value
    each = value.values() if hasattr(value, "values") else value
    return " / ".join(dict.fromkeys(map(str, each)))


def of_genes(reading: dict[str, Any]) -> dict[str, Any]:
    """How references are read that have nothing but genes.

    Raises
    ------
    ValueError
        Proteins are asked for.
    """
    for name in _FOR_ONE:
        if reading[name] is not None:
            raise ValueError(f"`{name}` is for one object with proteins; several references are read by genes.")
    return {name: reading[name] for name in ("layer", "unlabeled_category", "input_kind")}


class OneReference:
    """An AnnData or MuData.

    Parameters
    ----------
    adata
        The object.
    stream
        Whether it may be streamed.
    """

    def __init__(self, adata: Any, stream: bool | str) -> None:
        check_target(adata)
        self._adata, self._stream = adata, stream

    def read(self, labels_key: str, closing: ExitStack, reading: dict[str, Any]) -> Reference | JoinedReference:
        """See :class:`TrainingCells`."""
        if not may_stream(self._stream, self._adata, reading["layer"]) or reading["protein_obsm_key"] is not None:
            if self._stream is True:
                raise ValueError("`stream=True` reads genes alone; leave it or `protein_obsm_key` out.")
            return read_reference(self._adata, labels_key, **reading)
        return read_references({"adata": self._adata}, labels_key, closing, **of_genes(reading))

    def groups(self, split_by: str) -> pd.Series:
        """See :class:`TrainingCells`."""
        return obs_column(self._adata, split_by, "split_by")

    def remember(self, model: ClassifierModel, split: Split, *, named: bool = True) -> None:
        """Nothing: all is written into the object."""

    def write(self, keys: Keys, record: dict[str, Any], split: Split) -> None:
        """See :class:`TrainingCells`."""
        write_training(self._adata, keys, record, split_column(self._adata.n_obs, *split))


class ManyReferences:
    """Objects and files, of which the objects are written to.

    Parameters
    ----------
    given
        A path, or a list or mapping of AnnData and paths.
    join
        "inner" or "outer".
    """

    def __init__(self, given: Any, join: str) -> None:
        self._named, self._join = name_references(given), join
        for each in self._named.values():
            if not isinstance(each, Path):
                check_target(each)

    def read(self, labels_key: Any, closing: ExitStack, reading: dict[str, Any]) -> JoinedReference:
        """See :class:`TrainingCells`."""
        self._labels_keys = for_each(labels_key, "labels_key", list(self._named))
        self._joined = read_references(self._named, labels_key, closing, join=self._join, **of_genes(reading))
        return self._joined

    def groups(self, split_by: Any) -> pd.Series:
        """See :class:`TrainingCells`."""
        return groups_of(self._joined, split_by)

    def remember(self, model: ClassifierModel, split: Split, *, named: bool = True) -> None:
        """The references, and which cells of theirs were held out."""
        joined, cells = self._joined, pd.RangeIndex(len(self._joined.totals))
        if named:
            names = [np.asarray(store.adata.obs_names, dtype=object) for store in joined.stores]
            cells = pd.Index(np.concatenate(names))
        reference = pd.Categorical.from_codes(joined.reference_of, categories=joined.names)
        table = {"reference": reference, "split": split_column(len(cells), *split)}
        model.split_ = pd.DataFrame(table, index=cells)
        model.references_ = self._describe(model)

    def _describe(self, model: ClassifierModel) -> dict[str, Any]:
        """Plain lists, an entry for each reference."""
        joined, classes = self._joined, pd.Index(model.classes)
        has = joined.genes.take(joined.var_names.get_indexer(model.genes)).measured
        counts = np.zeros((len(joined.stores), len(classes)), dtype=int)
        for row, store in zip(counts, joined.stores, strict=True):
            known = classes.get_indexer(store.labels.classes)
            row[known[known >= 0]] = store.labels.counts[known >= 0]
        return {
            "join": self._join,
            "n_common_genes": joined.genes.n_common,
            "names": joined.names,
            "labels_keys": [str(self._labels_keys[name]) for name in joined.names],
            "scales": [store.kind.scale for store in joined.stores],
            "n_cells": [store.adata.n_obs for store in joined.stores],
            "n_genes": [store.adata.n_vars for store in joined.stores],
            "n_missing": (~has).sum(axis=1).tolist(),
            "cells_of_class": counts.tolist(),
            "missing": [np.asarray(model.genes)[~each].astype(str).tolist() for each in has],
        }

    def write(self, keys: Keys, record: dict[str, Any], split: Split) -> None:
        """See :class:`TrainingCells`."""
        columns = split_column(len(self._joined.totals), *split)
        for (name, adata), codes in zip(self._named.items(), self._joined.parts(columns.codes), strict=True):
            if isinstance(adata, AnnData):
                own = pd.Categorical.from_codes(codes, categories=columns.categories)
                write_training(adata, keys, {**record, "reference": name}, own)
