"""An annotation and the labels it is to be compared with, cell by cell, out of an annotated object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._keys import UNKNOWN, Keys
from sims_tools._validate import check_obsm_key, listing
from sims_tools.data._in_memory import uns_entry
from sims_tools.data._labels import encode_labels
from sims_tools.data._mask_rows import runs_of_rows
from sims_tools.data._obs_columns import obs_column

_REMEDY = "Run `sims.tl.annotate` first, and give the same `key` here as `key_added` there."


@dataclass(frozen=True)
class LabelledCalls:
    """Calls of n cells that have a true label; the first C names are the model's classes.

    What it holds has the names of the arguments of :func:`~sims_tools.confidence.evaluation_tables`.

    Attributes
    ----------
    names
        (C + K,) classes of the model, and after them the K true labels that it could not call.
    true
        (n,) true label, in [0, C + K).
    called
        (n,) call, in [0, C); C where the cell is not called.
    prob
        (n, C) probabilities, in blocks.
    sets
        (n, C) prediction sets, bool, in blocks, or None.
    novelty
        (n,) how unlike the training cells, or None.
    """

    names: np.ndarray
    true: np.ndarray
    called: np.ndarray
    prob: Iterator[np.ndarray]
    sets: Iterator[sparse.csr_matrix] | None
    novelty: np.ndarray | None


def read_prob(adata: AnnData | MuData, keys: Keys) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (n_obs, C) and names (C,) of their columns, as :func:`sims_tools.tl.annotate` left them."""
    prob, facts = _stored_prob(adata, keys)
    return np.asarray(prob), np.asarray(facts["classes"], dtype=object)


def _stored_prob(adata: AnnData | MuData, keys: Keys) -> tuple[Any, Mapping[str, Any]]:
    """Probabilities (n_obs, C) where they are, and what `.uns` says of the annotation."""
    check_obsm_key(adata, keys.prob, _REMEDY)
    facts, prob = uns_entry(adata, keys.uns, _REMEDY), adata.obsm[keys.prob]
    classes = facts.get("classes", ())
    if len(classes) != prob.shape[1]:
        raise ValueError(
            f"`adata.obsm[{keys.prob!r}]` has {prob.shape[1]} columns, but `adata.uns[{keys.uns!r}]['classes']` "
            f"names {len(classes)}. {_REMEDY}"
        )
    return prob, facts


def _some_rows(matrix: Any, rows: np.ndarray) -> Iterator[Any]:
    """Some rows of a matrix, which rise, as arrays or CSR matrices of a run of rows each."""
    for run in runs_of_rows(matrix.shape[0]):
        chosen = rows[np.searchsorted(rows, run.start) : np.searchsorted(rows, run.stop)] - run.start
        if not chosen.size:
            continue
        block = matrix.iloc[run] if isinstance(matrix, pd.DataFrame) else matrix[run]
        block = block.compute() if hasattr(block, "compute") else block
        yield (sparse.csr_matrix(block) if sparse.issparse(block) else np.asarray(block))[chosen]


def read_calls(
    adata: AnnData | MuData, labels_key: str, keys: Keys, *, unlabeled_category: str = UNKNOWN
) -> LabelledCalls:
    """The cells that have both a call (or were rejected) and a true label.

    Parameters
    ----------
    adata
        Annotated cells.
    labels_key
        Column of `.obs` with the true labels.
    keys
        Names of the annotation's slots.
    unlabeled_category
        True label that means "no label", unless the model has a class of that name.

    Raises
    ------
    KeyError
        A column or slot does not exist.
    ValueError
        There is nothing to compare, or slots do not fit each other.
    """
    labels, calls = obs_column(adata, labels_key, "labels_key"), obs_column(adata, keys.label, "key")
    if labels_key == keys.label:
        raise ValueError(f"`labels_key={labels_key!r}` is the annotation itself; expected a column with true labels.")
    prob, facts = _stored_prob(adata, keys)
    known = [str(name) for name in facts["classes"]]
    called = _calls(calls, known)
    true, novel = _truth(labels, labels_key, known, _callable(facts, known), unlabeled_category)
    both = np.flatnonzero((called >= 0) & (true >= 0))
    if not both.size:
        raise ValueError(
            f"No cell has both a true label in `adata.obs[{labels_key!r}]` and a call in `adata.obs[{keys.label!r}]`."
        )
    sets = adata.obsm.get(keys.sets)
    if sets is not None and sets.shape[1] != len(known):
        raise ValueError(f"`adata.obsm[{keys.sets!r}]` has {sets.shape[1]} columns; expected {len(known)}. {_REMEDY}")
    scored = keys.novelty in adata.obs.columns
    return LabelledCalls(
        names=np.array([*known, *novel], dtype=object),
        true=true[both],
        called=called[both],
        prob=_some_rows(prob, both),
        sets=None if sets is None else _some_rows(sets, both),
        novelty=obs_column(adata, keys.novelty, "key").to_numpy()[both] if scored else None,
    )


def _callable(facts: Mapping[str, Any], known: list[str]) -> set[str]:
    """Classes that the annotation considered."""
    chosen = facts.get("params", {}).get("classes", "None")
    return set(known) if isinstance(chosen, str) else {str(name) for name in chosen}


def _calls(column: pd.Series, known: list[str]) -> np.ndarray:
    """(n,) code of each call; the number of classes where there is none, -1 where nothing is written."""
    labels = encode_labels(column, None)
    codes = {name: code for code, name in enumerate(known)}
    codes.setdefault(UNKNOWN, len(known))
    if foreign := [name for name in labels.classes if name not in codes]:
        raise ValueError(
            f"`adata.obs[{column.name!r}]` holds labels that are not among the model's classes: {listing(foreign)}. "
            "Annotate again, and put renamed labels into a column of their own."
        )
    return np.array([*(codes[name] for name in labels.classes), -1], dtype=np.int64)[labels.codes]


def _truth(
    column: pd.Series, labels_key: str, known: list[str], allowed: set[str], unlabeled_category: str
) -> tuple[np.ndarray, list[str]]:
    """(n,) code of each true label, -1 without one, and the names of those that could not be called."""
    labels = encode_labels(column, None if unlabeled_category in known else unlabeled_category)
    novel = list(dict.fromkeys(name for name in labels.classes if name not in allowed))
    if novel and not allowed & set(labels.classes):
        close = get_close_matches(novel[0], known, n=1)
        hint = f" Is {novel[0]!r} the same as {close[0]!r}?" if close else ""
        raise ValueError(
            f"`adata.obs[{labels_key!r}]` has none of the classes that could be called: it holds {listing(novel)}, "
            f"these are {listing(sorted(allowed))}.{hint} Bring the labels to the model's names first."
        )
    codes = {name: len(known) + rank for rank, name in enumerate(novel)}
    codes |= {name: code for code, name in enumerate(known) if name in allowed}
    return np.array([*(codes[name] for name in labels.classes), -1], dtype=np.int64)[labels.codes], novel
