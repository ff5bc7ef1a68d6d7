"""The machinery of training: read, split, choose genes, fit, write; the same for every architecture."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sims_tools._keys import Keys
from sims_tools._log import logger as log
from sims_tools._validate import check_choice, check_fraction, check_names
from sims_tools.data._cell_filter import CellFilter, filter_cells
from sims_tools.data._gene_choice import BY_FILTER, BY_NUMBER, GeneChoice
from sims_tools.data._joined import JoinedReference
from sims_tools.data._reference import report_classes
from sims_tools.data._split import grouped_split, stratified_split
from sims_tools.models import ClassifierModel
from sims_tools.models._random import resolve_seed
from sims_tools.models._settings import SETTING_NAMES, change_settings
from sims_tools.models._streamed_cells import StreamedCells
from sims_tools.tl._model_on import model_on
from sims_tools.tl._record import training_record
from sims_tools.tl._start import building_of, preset_of, read_source, with_chosen_genes
from sims_tools.tl._streaming import streams
from sims_tools.tl._training_cells import TrainingCells, in_words, training_cells

if TYPE_CHECKING:
    from sims_tools.models import Preset

Model = TypeVar("Model", bound=ClassifierModel)

FILTER_NAMES = tuple(field.name for field in fields(CellFilter))

BUILDING_NAMES = ("scale_genes", "center_genes", "gene_dropout", "n_members", "modality_dropout")
"""What a model is built with beside parameters of its network."""

PRESET = "preset"
"""What stands for "as the preset says"."""


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
    check_choice("preset", preset, model_class.presets)
    source = read_source(init_from, model_class)
    preset = preset_of(source, preset)
    recipe = model_class.presets[preset]
    check_fraction("validation_size", validation_size)
    cells = training_cells(adata, join, stream)
    if not isinstance(unlabeled_category, str):
        raise TypeError(f"`unlabeled_category={unlabeled_category!r}` must be text.")
    keys = Keys(model_class.name if key_added is None else key_added)
    random_state = resolve_seed(random_state)
    check_names("parameter", params, param_names(model_class))
    settings = {name: value for name, value in params.items() if name in SETTING_NAMES}
    filtering = {name: value for name, value in params.items() if name in FILTER_NAMES}
    building = {name: params[name] for name in params.keys() - settings.keys() - filtering.keys()}
    building = building_of(source, model_class, building)
    cell_filter = replace(recipe.cell_filter, **filtering)
    change_settings(recipe.training, max_epochs=run["max_epochs"], **settings)
    choice = _gene_choice(recipe, gene_choice, n_top_genes)

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
        if not cell_filter.is_open:
            whole = filter_cells(whole, cell_filter, labels_key)
        report_classes(whole.labels, labels_key)
        split = _split(cells, whole.labels.codes, validation_size, split_by, random_state)
        reference, variance = with_chosen_genes(whole, split[0], choice, source)
        if validation_size > 0 and len(split[1]) == 0:
            log.warning("No class has enough cells to hold any out: all train, and no epoch is judged.")
        if reference.proteins is not None:
            building["protein_transform"] = protein_transform
        streamed = isinstance(reference, JoinedReference) and streams(stream, reference)
        if isinstance(reference, JoinedReference) and not streamed:
            reference = reference.in_memory()
        if not streamed:
            closing.close()
        with model_on(model_class, reference, unlabeled_category, labels_key) as build:
            model = build(preset=preset, random_state=random_state, **building)
            if source is not None:
                model.start_from(source)
            panels = whole.panels(reference.var_names)
            given: dict[str, Any] = {"panels": panels, "split": split}
            if isinstance(reference, JoinedReference):
                given = {"cells": StreamedCells(reference, *split, panels, random_state)}
            model.train(**given, gene_variance=variance, **settings, **run)
    cells.remember(model, split, named=not streamed)
    if not model.was_interrupted_:
        asked = {
            "n_top_genes": choice.n_top,
            "gene_choice": choice.way,
            **({} if cell_filter.is_open else {"cell_filter": asdict(cell_filter)}),
            "split_by": in_words(split_by),
            "validation_size": validation_size,
            **({"stream": True} if streamed else {}),
        }
        record = training_record(model, labels_key, reading, asked)
        cells.write(keys, record, split)
    return model


def param_names(model_class: type[ClassifierModel]) -> tuple[str, ...]:
    """What `params` of :func:`~sims_tools.tl.train` may hold for an architecture."""
    return (*model_class.network_param_names(), *SETTING_NAMES, *BUILDING_NAMES, *FILTER_NAMES)


def _gene_choice(recipe: Preset, way: str, n_top: int | str | None) -> GeneChoice:
    """What the preset says, overruled where something else is asked for."""
    if way == PRESET:
        return GeneChoice("all") if n_top is None else GeneChoice(recipe.gene_choice, _number(recipe, n_top))
    if way in BY_FILTER and n_top == PRESET:
        return GeneChoice(way)
    found = GeneChoice(way, _number(recipe, n_top))
    if way in BY_NUMBER and found.n_top is None and n_top == PRESET:
        raise ValueError(f"`gene_choice={way!r}` ranks genes; say how many of them with `n_top_genes`.")
    return found


def _number(recipe: Preset, n_top: int | str | None) -> Any:
    return recipe.n_top_genes if n_top == PRESET else n_top


def _split(
    cells: TrainingCells, codes: np.ndarray, share: float, split_by: Any, random_state: int | None
) -> tuple[np.ndarray, np.ndarray]:
    if split_by is None or share == 0:
        return stratified_split(codes, share, random_state)
    return grouped_split(codes, cells.groups(split_by), share, random_state)
