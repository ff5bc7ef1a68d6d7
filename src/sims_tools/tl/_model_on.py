"""A model built for the cells of a reference, which it lets go of at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from sims_tools.data._joined import JoinedReference
from sims_tools.data._reference import (
    SHADOW_LABELS,
    SHADOW_PROTEIN_NAMES,
    SHADOW_PROTEINS,
    SHADOW_TOTALS,
    Reference,
)
from sims_tools.models import ClassifierModel
from sims_tools.models._registry import make_registry

Model = TypeVar("Model", bound=ClassifierModel)


@contextmanager
def model_on(
    model_class: type[Model], reference: Reference | JoinedReference, unlabeled_category: str, labels_key: str
) -> Iterator[Callable[..., Model]]:
    """What builds a model: on a shadow of cells in memory, or for cells elsewhere on their names of genes and classes.

    Parameters
    ----------
    model_class
        The architecture.
    reference
        The cells, with the genes to train on.
    unlabeled_category, labels_key
        What the model remembers them by.
    """
    build, forget = _builder(model_class, reference, unlabeled_category, labels_key)
    built: list[Model] = []

    def remembering(**params: Any) -> Model:
        built.append(build(**params))
        return built[0]

    try:
        yield remembering
    finally:
        forget()
        for model in built:
            model.release_cells(labels_key, **reference.read_from)


def _builder(
    model_class: type[Model], reference: Reference | JoinedReference, unlabeled_category: str, labels_key: str
) -> tuple[Callable[..., Model], Callable[[], None]]:
    """What builds a model, and what has to be done when it is trained."""
    if isinstance(reference, JoinedReference):
        labels = reference.labels
        setup = {"labels_key": labels_key}
        registry = make_registry(
            model_class.__name__, list(reference.var_names), list(labels.classes), unlabeled_category, setup,
            n_cells=len(labels.labelled),
        )  # fmt: skip
        return lambda **params: model_class(registry=registry, **params), lambda: None
    shadow = reference.shadow(unlabeled_category)
    with_proteins = {"protein_obsm_key": SHADOW_PROTEINS, "protein_names_uns_key": SHADOW_PROTEIN_NAMES}
    model_class.setup_anndata(
        shadow,
        SHADOW_LABELS,
        unlabeled_category=unlabeled_category,
        total_counts_key=SHADOW_TOTALS,
        input_kind="counts",
        **({} if reference.proteins is None else with_proteins),
    )
    return lambda **params: model_class(shadow, **params), lambda: model_class.forget_cells(shadow)
