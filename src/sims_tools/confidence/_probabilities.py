"""Probabilities from logits, and calls from probabilities."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import NamedTuple

import numpy as np

from sims_tools._validate import listing

_LARGEST = 1e30
"""Logits are cut off here: those that overflowed to infinity in half precision still give probabilities."""


def softmax(logits: np.ndarray, allowed: np.ndarray | None = None) -> np.ndarray:
    """Probabilities over all classes, or over the allowed ones only.

    Parameters
    ----------
    logits
        (n, C).
    allowed
        (C,) bool; a class that is not allowed gets probability 0 and the rest sum to 1. None allows all.

    Returns
    -------
    (n, C) float32, rows sum to 1.
    """
    values = np.clip(np.asarray(logits, dtype=np.float64), -_LARGEST, _LARGEST)
    if allowed is not None:
        values[:, ~np.asarray(allowed, dtype=bool)] = -np.inf
    values -= values.max(1, keepdims=True, initial=-_LARGEST)
    np.exp(values, out=values)
    values /= values.sum(1, keepdims=True)
    return values.astype(np.float32)


def restrict(classes: np.ndarray, wanted: object) -> np.ndarray:
    """(C,) bool: which of the model's classes are wanted.

    Parameters
    ----------
    classes
        (C,) names.
    wanted
        Some of them; a single name stands for itself.

    Raises
    ------
    TypeError
        `wanted` is not a list of names.
    ValueError
        `wanted` is empty or names a class that the model does not know.
    """
    if not isinstance(wanted, str | Iterable):
        raise TypeError(f"`classes={wanted!r}` is of type {type(wanted).__name__}; expected a list of class names.")
    names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    known = [str(name) for name in classes]
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown or not names:
        found = f"{listing(unknown)} not among the model's classes" if unknown else "no class is named"
        close = get_close_matches(unknown[0], known, n=1) if unknown else []
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise ValueError(f"`classes`: {found}; it knows {listing(known, 40)}.{hint}")
    return np.isin(np.asarray(known), names)


class Calls(NamedTuple):
    """The label of each of n cells.

    Attributes
    ----------
    codes
        (n,) class of each cell; C, one past the last class, where the cell is not called.
    confidence
        (n,) float32 largest probability.
    """

    codes: np.ndarray
    confidence: np.ndarray


def call_labels(prob: np.ndarray, *, uncalled: np.ndarray, min_confidence: float | None = None) -> Calls:
    """Call the most probable class of each cell.

    Parameters
    ----------
    prob
        (n, C) probabilities.
    uncalled
        (n,) bool: cells not to call whatever their probabilities (no counts).
    min_confidence
        Smallest probability that is called.
    """
    codes, confidence = prob.argmax(1), prob.max(1, initial=0.0)
    weak = uncalled if min_confidence is None else uncalled | (confidence < float(min_confidence))
    return Calls(np.where(weak, prob.shape[1], codes), confidence.astype(np.float32))


def runners_up(prob: np.ndarray, top_k: int, allowed: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Classes of rank 2 to `top_k` and their probabilities.

    Parameters
    ----------
    prob
        (n, C) probabilities.
    top_k
        Last rank.
    allowed
        (C,) bool: classes that were considered; None is all.

    Returns
    -------
    Two arrays (n, top_k - 1); ties are in class order. Where there is no class of that rank the code is -1.
    """
    ranked = prob if allowed is None else np.where(allowed, prob, -1.0)
    order = np.argsort(-ranked, axis=1, kind="stable")[:, 1:top_k]
    values = np.take_along_axis(ranked, order, axis=1)
    return np.where(values < 0, -1, order), np.maximum(values, 0).astype(prob.dtype)
