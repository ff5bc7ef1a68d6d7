"""What an annotation consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from sims_tools._keys import UNKNOWN, Keys
from sims_tools.confidence import Calls, call_labels, majority_vote, runners_up
from sims_tools.models._storage import package_versions
from sims_tools.tl._prediction_sets import prediction_sets as make_sets
from sims_tools.tl._write import Results, storable

if TYPE_CHECKING:
    from sims_tools.data._align import GeneMatch
    from sims_tools.models import ClassifierModel
    from sims_tools.models._inference import Inferred
    from sims_tools.tl._reject import Novelty


def annotation(
    keys: Keys,
    model: ClassifierModel,
    found: Inferred,
    novel: Novelty | None,
    allowed: np.ndarray | None,
    params: dict[str, Any],
    *,
    groups: np.ndarray | None = None,
    probabilities: bool = True,
) -> tuple[Results, Calls]:
    """What is said of each cell but its mask, from what the network says of the cells.

    Parameters
    ----------
    keys
        Names of the slots.
    model
        Trained.
    found
        Of all cells.
    novel
        Which cells are rejected; None where none are.
    allowed
        Classes to consider; None is all.
    params
        Arguments of the annotation.
    groups
        (n,) group of each cell within which to vote, -1 for none; None for no vote.
    probabilities
        Keep those of all classes.

    Returns
    -------
    What is to be written, and the calls.
    """
    prob, calls = call(model, found, novel, allowed, params["min_confidence"])
    rejects = params["min_confidence"] is not None or novel is not None or bool(found.empty.any())
    results = Results()
    results.obs[keys.label] = labels_of(calls.codes, model.classes, rejects)
    results.obs[keys.confidence] = calls.confidence
    if novel is not None:
        results.obs[keys.novelty] = novel.shares
    last = params["top_k"] or 1
    codes, values = runners_up(prob, max(last, 2), allowed)
    second = np.where(found.empty, -1, codes[:, :1].max(1, initial=-1))  # a single class has none
    results.obs[keys.second] = pd.Categorical.from_codes(second, model.classes)
    results.obs[keys.margin] = calls.confidence - values[:, :1].max(1, initial=0)
    for column in range(last - 1):
        results.obs[keys.top_label(column + 2)] = pd.Categorical.from_codes(codes[:, column], model.classes)
        results.obs[keys.top_prob(column + 2)] = values[:, column]
    if groups is not None:
        votes, shares = majority_vote(calls.codes, groups, len(model.classes) + 1)
        results.obs[keys.majority] = labels_of(votes, model.classes, rejects)
        results.obs[keys.majority_share] = shares
    if probabilities:
        results.obsm[keys.prob] = prob
    if params["prediction_sets"] is not None:
        options = {"alpha": params["prediction_sets"], "class_conditional": params["class_conditional"]}
        sets = make_sets(model, prob, found.empty, **options, seen=found.seen if model.proteins_ else None)
        results.obs[keys.set_size], results.obsm[keys.sets] = np.diff(sets.indptr), sets
    if len(found.embedding):
        results.obsm[keys.embedding] = found.embedding
    return results, calls


def describe_annotation(model: ClassifierModel, match: GeneMatch, params: dict[str, Any]) -> dict[str, Any]:
    """Entries of `.uns[key]` that do not depend on the cells, but for those on masks."""
    return {
        "classes": model.classes.astype(str),
        "params": storable(params),
        "versions": package_versions(),
        "gene_match": match.report(model.gene_weights),
    }


def call(
    model: ClassifierModel,
    found: Inferred,
    novel: Novelty | None,
    allowed: np.ndarray | None,
    min_confidence: float | None,
) -> tuple[np.ndarray, Calls]:
    """Probabilities (n, n_classes), and the label of each cell."""
    prob = probabilities_of(model, found, allowed)
    uncalled = found.empty if novel is None else found.empty | novel.rejected
    return prob, call_labels(prob, uncalled=uncalled, min_confidence=min_confidence)


def labels_of(codes: np.ndarray, classes: np.ndarray, rejects: bool) -> pd.Categorical:
    """Names of codes; the code after the last class is "Unknown", which may be the name of a class as well."""
    names = list(classes)
    if rejects and UNKNOWN not in names:
        names.append(UNKNOWN)
    if UNKNOWN in names:
        codes = np.where(codes == len(classes), names.index(UNKNOWN), codes)
    return pd.Categorical.from_codes(codes, names)


def probabilities_of(model: ClassifierModel, found: Inferred, allowed: np.ndarray | None = None) -> np.ndarray:
    """Calibrated softmax; a cell without counts says nothing, so its probabilities are equal."""
    logits = np.where(found.empty[:, None], np.float32(0), found.logits)
    return model.probabilities(logits, found.seen, allowed)
