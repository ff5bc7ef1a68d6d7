"""What all studies share: check, divide, run, write."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sims_tools._keys import Keys
from sims_tools._log import logger
from sims_tools.data._in_memory import uns_or_nothing
from sims_tools.models._random import resolve_seed
from sims_tools.models._storage import package_versions
from sims_tools.studies._cells import StudyCells, read_cells
from sims_tools.studies._checkpoint import Checkpoint
from sims_tools.studies._folds import Fold
from sims_tools.studies._jobs import run_all
from sims_tools.studies._method import Method
from sims_tools.studies._run import Run
from sims_tools.studies._tables import study_tables
from sims_tools.tl._opened import opened
from sims_tools.tl._study_methods import resolve_methods
from sims_tools.tl._write import storable, write_study

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

READING = ("layer", "modalities", "protein_layer", "protein_obsm_key", "unlabeled_category", "input_kind")
"""Arguments of every study that say how the object is read."""


def run_study(
    study: str,
    given: Mapping[str, Any],
    models: Sequence[str] | Mapping[str, Mapping[str, Any]],
    make_folds: Callable[[AnnData | MuData, StudyCells, int], list[Fold]],
    asked: Sequence[str],
) -> AnnData | MuData | None:
    """Run every method on every fold and write the tables.

    Parameters
    ----------
    study
        Its name.
    given
        Arguments of the function of :mod:`sims_tools.tl` that was called.
    models
        As :func:`resolve_methods` takes them.
    make_folds
        Divides the cells of the object, by a seed.
    asked
        Which of the arguments are the study's own, to be recorded beside those that all have.
    """
    keys = Keys(given["key_added"])
    _check_jobs(given["n_jobs"])
    methods = resolve_methods(models)
    with opened(given["adata"], f"uns/{keys.uns}", copy=given["copy"]) as target:
        _check_key(target, keys)
        write_study(target, keys, _entry(target, study, given, methods, make_folds, asked))
    return target if given["copy"] else None


def _entry(
    adata: AnnData | MuData,
    study: str,
    given: Mapping[str, Any],
    methods: Sequence[Method],
    make_folds: Callable[[AnnData | MuData, StudyCells, int], list[Fold]],
    asked: Sequence[str],
) -> dict[str, Any]:
    """What is written."""
    labels_key, seed = given["labels_key"], resolve_seed(given["random_state"])
    reading = {name: given[name] for name in READING}
    columns = dict.fromkeys(name for method in methods for name in method.obs_columns)
    cells = read_cells(adata, labels_key, columns=list(columns), **reading)
    _check_counts(methods, cells)
    _tell_proteins(methods, cells)
    runs = [Run(method, fold) for fold in make_folds(adata, cells, seed) for method in methods]
    checkpoint = Checkpoint(given["checkpoint"], cells)
    results = run_all(runs, cells, checkpoint, n_jobs=given["n_jobs"], progress_bar=given["progress_bar"])
    tables = study_tables(results)
    options = {method.title: {"model": method.name, **method.options} for method in methods}
    params = {"labels_key": labels_key, **reading, **{name: given[name] for name in asked}, "random_state": seed}
    return {
        "study": study,
        **tables,
        "params": storable(params) | {"models": json.dumps(options, default=str)},
        "versions": package_versions(),
    }


def _check_key(adata: AnnData | MuData, keys: Keys) -> None:
    """Raise ValueError where something else stands under the key."""
    if keys.uns in adata.uns and "study" not in uns_or_nothing(adata, keys.uns):
        raise ValueError(f"`adata.uns[{keys.uns!r}]` holds something that is not a study; give another `key_added`.")


def _check_jobs(n_jobs: object) -> None:
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs == 0:
        raise ValueError(f"`n_jobs={n_jobs!r}` must be a whole number: 1 or more, or -1 for one run for each core.")


def _check_counts(methods: Sequence[Method], cells: StudyCells) -> None:
    needing = [method.title for method in methods if method.needs_counts]
    if needing and cells.kind.scale != "counts":
        raise ValueError(f"{needing[0]!r} needs raw counts; the values are of the kind {cells.kind.scale!r}.")


def _tell_proteins(methods: Sequence[Method], cells: StudyCells) -> None:
    blind = [method.title for method in methods if not method.reads_proteins]
    if blind and cells.proteins is not None:
        logger.info("Read genes alone, no proteins: %s.", ", ".join(blind))
