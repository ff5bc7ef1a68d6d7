"""The machinery of training: read, split, choose genes, fit, write; the same for every architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

import numpy as np

from sims_tools._keys import Keys
from sims_tools._log import logger as log
from sims_tools._validate import check_fraction
from sims_tools.data._cell_filter import filter_cells
from sims_tools.data._joined import JoinedReference
from sims_tools.data._reference import report_classes
from sims_tools.data._split import grouped_split, stratified_split
from sims_tools.models._streamed_cells import StreamedCells
from sims_tools.tl._asked import Asked, Model
from sims_tools.tl._model_on import model_on
from sims_tools.tl._record import training_record
from sims_tools.tl._start import with_chosen_genes
from sims_tools.tl._streaming import at_hand
from sims_tools.tl._training_cells import TrainingCells, in_words, training_cells


def fit_model(
    model_class: type[Model],
    adata: Any,
    labels_key: Any,
    *,
    join: str,
    preset: str,
    layer: Any,
    modalities: Mapping[str, str] | None,
    protein_layer: str | None,
    protein_obsm_key: str | None,
    protein_transform: str,
    exclude_proteins: str | Iterable[str],
    unlabeled_category: str,
    input_kind: Any,
    n_top_genes: int | str | None,
    gene_choice: str,
    validation_size: float,
    split_by: Any,
    random_state: int | None,
    key_added: str | None,
    init_from: Any,
    stream: bool | str,
    params: dict[str, Any],
    **run: Any,
) -> Model:
    """Train any architecture, as :func:`~sims_tools.tl.train` says; `run` is what Lightning is told."""
    asked = Asked.read(
        model_class, preset=preset, n_top_genes=n_top_genes, gene_choice=gene_choice, random_state=random_state,
        init_from=init_from, max_epochs=run["max_epochs"], params=params,
    )  # fmt: skip
    check_fraction("validation_size", validation_size)
    cells = training_cells(adata, join, stream)
    if not isinstance(unlabeled_category, str):
        raise TypeError(f"`unlabeled_category={unlabeled_category!r}` must be text.")
    keys = Keys(model_class.name if key_added is None else key_added)
    building, source = dict(asked.building), asked.source

    reading: dict[str, Any] = {
        "layer": layer,
        "unlabeled_category": unlabeled_category,
        "input_kind": input_kind,
        "modalities": modalities,
        "protein_layer": protein_layer,
        "protein_obsm_key": protein_obsm_key,
        "protein_transform": protein_transform,
        "exclude_proteins": exclude_proteins,
    }
    with ExitStack() as closing:
        whole, labels_key = cells.read(labels_key, closing, reading), in_words(labels_key)
        if not asked.cell_filter.is_open:
            whole = filter_cells(whole, asked.cell_filter, labels_key)
        report_classes(whole.labels, labels_key)
        split = _split(cells, whole.labels.codes, validation_size, split_by, asked.random_state)
        reference, variance = with_chosen_genes(whole, split[0], asked.choice, source)
        if validation_size > 0 and len(split[1]) == 0:
            log.warning("No class has enough cells to hold any out: all train, and no epoch is judged.")
        if reference.proteins is not None:
            building["protein_transform"] = protein_transform
        reference = at_hand(reference, stream, closing)
        streamed = isinstance(reference, JoinedReference)
        with model_on(model_class, reference, unlabeled_category, labels_key) as build:
            model = build(**building)
            if source is not None:
                model.start_from(source)
            panels = whole.panels(reference.var_names)
            given: dict[str, Any] = {"panels": panels, "split": split}
            if isinstance(reference, JoinedReference):
                given = {"cells": StreamedCells(reference, *split, panels, asked.random_state)}
            model.train(**given, gene_variance=variance, **asked.settings, **run)
    cells.remember(model, split, named=not streamed)
    if not model.was_interrupted_:
        shares = {
            "n_top_genes": asked.choice.n_top,
            "gene_choice": asked.choice.way,
            **({} if asked.cell_filter.is_open else {"cell_filter": asdict(asked.cell_filter)}),
            "split_by": in_words(split_by),
            "validation_size": validation_size,
            **({"stream": True} if streamed else {}),
        }
        record = training_record(model, labels_key, reading, shares)
        cells.write(keys, record, split)
    return model


def _split(
    cells: TrainingCells, codes: np.ndarray, share: float, split_by: Any, random_state: int | None
) -> tuple[np.ndarray, np.ndarray]:
    if split_by is None or share == 0:
        return stratified_split(codes, share, random_state)
    return grouped_split(codes, cells.groups(split_by), share, random_state)
