"""Probabilities from logits, and calls from probabilities."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


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
    values = np.asarray(logits, dtype=np.float64)
    if allowed is not None:
        values = np.where(allowed, values, -np.inf)
    if values.shape[0] == 0:
        return values.astype(np.float32)
    values = np.exp(values - values.max(1, keepdims=True))
    return (values / values.sum(1, keepdims=True)).astype(np.float32)


def restrict(classes: np.ndarray, wanted: object) -> np.ndarray:
    """(C,) bool: which of the model's classes are wanted.

    Raises
    ------
    ValueError
        `wanted` is empty or names a class that the model does not know.
    """
    names = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]  # type: ignore[attr-defined]
    unknown = sorted(set(names) - set(map(str, classes)))
    if unknown or not names:
        found = f"{unknown} are not classes of the model" if unknown else "no class is named"
        raise ValueError(f"`classes`: {found}; it knows {[str(name) for name in classes]}.")
    return np.isin(np.asarray(classes, dtype=str), names)


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
    weak = uncalled if min_confidence is None else uncalled | (confidence < min_confidence)
    return Calls(np.where(weak, prob.shape[1], codes), confidence.astype(np.float32))


def runners_up(prob: np.ndarray, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes of rank 2 to `top_k` and their probabilities, each (n, top_k - 1); ties in class order."""
    order = np.argsort(-prob, axis=1, kind="stable")[:, 1:top_k]
    return order, np.take_along_axis(prob, order, axis=1)
