"""Prediction sets of annotated cells, by the scores that the model keeps of its validation cells."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from sims_tools._log import warn_user
from sims_tools._validate import check_open_share, listing
from sims_tools.models import ClassifierModel


def check_sets(model: ClassifierModel, alpha: float | None, classes: object, *, class_conditional: bool) -> None:
    """Raise where the sets that are asked for cannot be given.

    Parameters
    ----------
    model
        The trained model.
    alpha
        Share of cells whose set may miss the true class; None asks for no sets.
    classes
        What the call is restricted to, if anything.
    class_conditional
        Whether the promise is to hold for each class.

    Warns
    -----
    UserWarning
        Classes have too few validation cells to promise anything; they are in every set.
    """
    if alpha is None:
        if class_conditional:
            raise ValueError("`class_conditional=True` says how prediction sets are made; pass `prediction_sets=0.1`.")
        return
    check_open_share("prediction_sets", alpha)
    if classes is not None:
        raise ValueError(
            "Prediction sets keep their promise over all classes of the model; leave out `classes`, or the sets."
        )
    conformal = model.confidence_.conformal
    if conformal is None:
        raise ValueError(
            "The model was trained without validation cells, so there is nothing prediction sets could rest on; "
            "train it with `validation_size` above 0."
        )
    limits = conformal.thresholds(alpha, class_conditional=class_conditional)
    if limits.too_few:
        names = [f"{model.classes[code]} ({n})" for code, n in limits.too_few.items()]
        whose = "every class is in every set" if not class_conditional else "they are in every set"
        warn_user(
            f"Fewer than {limits.needed} validation cells, which `prediction_sets={alpha:g}` takes: {listing(names)}; "
            f"{whose}. Train with more cells or a larger `validation_size`, or ask for less.",
        )


def prediction_sets(
    model: ClassifierModel,
    prob: np.ndarray,
    empty: np.ndarray,
    alpha: float,
    *,
    class_conditional: bool,
    seen: np.ndarray | None = None,
) -> sparse.csr_matrix:
    """(n_obs, n_classes) bool: which classes each cell may be; all of them for a cell without counts.

    Parameters
    ----------
    model
        Has conformal scores.
    prob
        (n_obs, n_classes) calibrated probabilities.
    empty
        (n_obs,) bool, cells without counts.
    alpha
        Share of cells whose set may miss the true class.
    class_conditional
        Keep the promise for each class.
    seen
        (n_obs,) which modalities of each cell are seen, each having scores of its own; None for a model of one.
    """
    conformal = model.confidence_.conformal
    if conformal is None:
        raise ValueError("The model has no conformal scores.")
    held = prob > 1
    for code in (0,) if seen is None else np.unique(seen).tolist():
        cells = slice(None) if seen is None else seen == code
        own = model.confidence_.of(code).conformal or conformal
        if len(prob[cells]):
            held[cells] = own.sets(prob[cells], alpha, class_conditional=class_conditional)
    held[empty] = True
    return sparse.csr_matrix(held)
