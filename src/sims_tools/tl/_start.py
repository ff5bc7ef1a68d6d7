"""What a training that starts from an earlier model takes from it, beside weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from sims_tools.data._align import match_genes
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
    n_genes, labels = len(reference.var_names), reference.labels
    known = np.empty(0, np.int64) if source is None else _known(reference, source)
    others = np.arange(n_genes)
    if len(known) and choice.way in BY_NUMBER and choice.n_top is not None and choice.n_top < n_genes:
        if choice.n_top <= len(known):
            return cast("AnyReference", reference.take_genes(known)), None
        choice, others = replace(choice, n_top=choice.n_top - len(known)), np.setdiff1d(others, known)
    counts = reference.measured_counts(train)
    some = len(others) < n_genes
    blocks = reference.linear_blocks(train)
    if some:
        blocks = ((linear[:, others], totals) for linear, totals in blocks)
    of_others = counts[:, others] if some and counts is not None else counts
    found = choose_genes(choice, blocks, labels.codes[train], len(labels.classes), len(others), of_others)
    chosen, variance = (np.arange(len(others)), None) if found is None else found
    chosen = np.union1d(others[chosen], known)
    of_all = variance is not None and not some and reference.proteins is None
    taken = cast("AnyReference", reference.take_genes(chosen))
    return taken, variance[chosen] if variance is not None and of_all else None


def _known(reference: Reference | JoinedReference, source: Any) -> np.ndarray:
    """Sorted columns of the genes that a model knows."""
    genes = source.genes[: source.n_rna]
    columns = match_genes(reference.var_names, genes).columns
    return np.sort(columns[columns >= 0])
