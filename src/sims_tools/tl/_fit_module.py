"""Training on what a data module brings: genes chosen from its minibatches, classes as its registry names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sims_tools._log import logger as log
from sims_tools._validate import listing
from sims_tools.data._dataset import LABELS, X
from sims_tools.data._module_batches import ModuleBatches, gene_names
from sims_tools.models._module_cells import ModuleCells, check_module_settings, prepared
from sims_tools.models._registry import as_set_up, make_registry
from sims_tools.tl._asked import Asked, Model
from sims_tools.tl._start import chosen_columns

OF_OBJECTS = (
    "adata", "labels_key", "join", "layer", "modalities", "protein_layer", "protein_obsm_key", "protein_transform",
    "exclude_proteins", "unlabeled_category", "validation_size", "split_by", "key_added", "stream",
)  # fmt: skip
"""Arguments of :func:`~sims_tools.tl.train` that speak of objects and files; a data module decides on all of it."""


def fit_module(
    model_class: type[Model],
    datamodule: Any,
    *,
    preset: str,
    input_kind: Any,
    n_top_genes: int | str | None,
    gene_choice: str,
    random_state: int | None,
    init_from: Any,
    params: dict[str, Any],
    **run: Any,
) -> Model:
    """Train any architecture, as :func:`~sims_tools.tl.train` says; `run` is what Lightning is told."""
    asked = Asked.read(
        model_class, preset=preset, n_top_genes=n_top_genes, gene_choice=gene_choice, random_state=random_state,
        init_from=init_from, max_epochs=run["max_epochs"], params=params,
    )  # fmt: skip
    check_module_settings(asked.settings)
    if not asked.cell_filter.is_open:
        raise ValueError(
            f"{asked.cell_filter} does not go with `datamodule`, which decides which cells it brings; filter them "
            "there, or choose another `preset`."
        )
    prepared(datamodule, asked.random_state)
    names = gene_names(datamodule)
    _warn_of_numbers(names, datamodule)
    registry = as_set_up(datamodule.registry, model_class.__name__, names)
    fields = registry["field_registries"]
    labels = fields[LABELS]["state_registry"]
    classes, key = [str(name) for name in labels["categorical_mapping"][:-1]], str(labels["original_key"])
    batches = ModuleBatches(datamodule, list(names), classes, input_kind)
    cells = batches.read_whole(datamodule.train_dataloader, asked.random_state)
    columns, variance = chosen_columns(names, cells, len(classes), asked.choice, asked.source)
    genes = [str(name) for name in names[columns]]
    setup = {"labels_key": key, "input_kind": input_kind}
    n_cells = fields[X]["summary_stats"]["n_cells"]
    unlabeled = labels["unlabeled_category"]
    registry = make_registry(model_class.__name__, genes, classes, unlabeled, setup, n_cells=n_cells)
    model = model_class(registry=registry, **asked.building)
    if asked.source is not None:
        model.start_from(asked.source)
    given = ModuleCells(datamodule, genes, classes, input_kind, asked.random_state)
    model.train(cells=given, gene_variance=variance, **asked.settings, **run)
    model.release_cells(key)
    return model


def check_of_objects(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Raise ValueError where an argument is given that does not go with a data module.

    Parameters
    ----------
    given
        Arguments by name.
    defaults
        What they are where they are not given.
    """
    if found := [name for name in OF_OBJECTS if not _same(given[name], defaults[name])]:
        raise ValueError(
            f"{listing(found)} cannot be given with `datamodule`, which decides on cells, labels and validation "
            "itself, and nothing is written; leave it out, or train on objects or files without `datamodule`."
        )


def _same(one: Any, other: Any) -> bool:
    """Whether an argument has its default; objects are not compared."""
    return one is other or (type(one) is type(other) and one == other)


def _warn_of_numbers(names: Any, datamodule: Any) -> None:
    if len(names) and all(name.isdigit() for name in names):
        log.warning(
            "%s names genes by numbers: %s. Cells to annotate are matched by the names of their genes; tell it by "
            "`datamodule.var_names = [...]`, in the order of its columns.",
            type(datamodule).__name__,
            listing(names, 3),
        )
