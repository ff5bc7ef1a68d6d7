"""What a training that starts from an earlier model takes from it, beside weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
import pandas as pd

from sims_tools.data._align import match_genes
from sims_tools.data._class_sums import Cells, with_classes
from sims_tools.data._gene_choice import BY_NUMBER, GeneChoice, choose_genes
from sims_tools.models import ClassifierModel, load
from sims_tools.models._starting import check_source

if TYPE_CHECKING:
    from sims_tools.data._joined import JoinedReference
    from sims_tools.data._reference import Reference

AnyReference = TypeVar("AnyReference", bound="Reference | JoinedReference")


def read_source(init_from: Any, model_class: type[ClassifierModel]) -> Any:
    """The model to start from, loaded where a folder is given; checked. None for None.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no model in the folder, or one of another architecture.
    TypeError
        It is no model to start from.
    """
    if init_from is None:
        return None
    model = load(init_from) if isinstance(init_from, str | Path) else init_from
    check_source(model, model_class.name)
    return model


def preset_of(source: Any, preset: str) -> str:
    """The preset that was asked for; "default" stands for that of the model to start from."""
    if source is None or preset != "default" or source.params_["preset"] not in source.presets:
        return preset
    return source.params_["preset"]


def building_of(source: Any, model_class: type[ClassifierModel], building: dict[str, Any]) -> dict[str, Any]:
    """What to build the classifier with: as it was asked for, and otherwise as the model to start from.

    A pretrained model does not say how many networks there are to be.
    """
    if source is None:
        return building
    known = model_class.network_param_names()
    taken = {name: value for name, value in source.params_["network"].items() if name in known}
    names = ["scale_genes", "center_genes"] + (["n_members"] if isinstance(source, ClassifierModel) else [])
    taken |= {name: source.params_[name] for name in names if name in source.params_}
    return {**taken, **building}


def with_chosen_genes(
    reference: AnyReference, train: np.ndarray, choice: GeneChoice, source: Any = None
) -> tuple[AnyReference, np.ndarray | None]:
    """The reference with the genes to train on, and the variance of all features where the choice took it.

    Those that the model to start from knows are among them in any case. Where genes are ranked, they count, and others
    are chosen only if there is room.
    """
    labels = reference.labels
    cells = with_classes(reference.linear_blocks(train), labels.codes[train])
    counts = reference.measured_counts(train)
    chosen, variance = chosen_columns(reference.var_names, cells, len(labels.classes), choice, source, counts)
    taken = cast("AnyReference", reference.take_genes(chosen))
    return taken, None if reference.proteins is not None else variance


def chosen_columns(
    names: pd.Index,
    cells: Iterable[Cells],
    n_classes: int,
    choice: GeneChoice,
    source: Any = None,
    counts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Columns of the genes to train on, and their variance where the choice took that of all.

    Parameters
    ----------
    names
        (n_genes,) names of the genes.
    cells
        The training cells, block by block; read once, or not at all.
    n_classes
        Number of classes.
    choice
        How genes are chosen.
    source
        A model to start from, whose genes stay.
    counts
        (n_classes, n_genes) cells of each class that each gene was measured in; None where it was in all.
    """
    known = np.empty(0, np.int64) if source is None else _known(names, source)
    others = np.arange(len(names))
    if len(known) and choice.way in BY_NUMBER and not choice.takes_all(len(names)):
        n_left = (choice.n_top or 0) - len(known)
        if n_left <= 0:
            return known, None
        choice, others = replace(choice, n_top=n_left), np.setdiff1d(others, known)
    if len(others) < len(names):
        cells = ((linear[:, others], totals, codes) for linear, totals, codes in cells)
        counts = None if counts is None else counts[:, others]
    found = choose_genes(choice, cells, n_classes, len(others), counts)
    chosen, variance = (np.arange(len(others)), None) if found is None else found
    chosen = np.union1d(others[chosen], known)
    return chosen, variance[chosen] if variance is not None and len(others) == len(names) else None


def _known(names: pd.Index, source: Any) -> np.ndarray:
    """Sorted columns of the genes that a model knows."""
    columns = match_genes(names, source.genes[: source.n_rna]).columns
    return np.sort(columns[columns >= 0])
