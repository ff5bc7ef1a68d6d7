"""Every score of labelled calls, as tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from sims_tools._keys import UNKNOWN

from ._auroc import auroc
from ._calibration_scores import brier_of, error_of, likelihood_of, reliability_of
from ._checks import check_codes
from ._class_scores import class_scores, confusion_counts, mean_scores
from ._risk_coverage import risk_coverage_area, risk_coverage_curve
from ._true_class import TrueClass

_MOST_POINTS = 500
"""Rows of a stored risk-coverage curve."""


def evaluation_tables(
    prob: np.ndarray | Iterable[np.ndarray],
    true: np.ndarray,
    called: np.ndarray,
    *,
    names: np.ndarray,
    sets: sparse.csr_matrix | Iterable[sparse.csr_matrix] | None = None,
    novelty: np.ndarray | None = None,
    n_bins: int = 15,
) -> dict[str, pd.DataFrame]:
    """Score calls of C classes, of which K more labels may be true: those of novel cells.

    Parameters
    ----------
    prob
        (n, C) probabilities, whole or in blocks of rows.
    true
        (n,) true label of each cell, in [0, C + K).
    called
        (n,) call of each cell, in [0, C); C where it is not called.
    names
        (C + K,) what the codes of `true` mean.
    sets
        (n, C) prediction sets, bool, whole or in blocks of rows.
    novelty
        (n,) how unlike the training cells; a cell without a score (NaN) counts as the most novel.
    n_bins
        Bins of the confidence.

    Returns
    -------
    The tables that :func:`sims_tools.tl.evaluate` describes, by name.

    Raises
    ------
    ValueError
        No cell is of a class, or values do not fit.
    """
    cells = _cells(prob, true, called, sets, novelty, n_labels=len(names))
    counts = confusion_counts(cells.true, cells.called, len(names), cells.n_classes)
    tables = {
        "overall": _overall(cells, class_scores(counts), n_bins),
        "per_class": _per_class(cells, class_scores(counts), names),
        "reliability": reliability_of(cells.scores.take(cells.known), n_bins=n_bins),
        "risk_coverage": _curves(cells),
        "confusion": _confusion(counts, names),
    }
    tables["reliability"] = tables["reliability"].rename(columns={"n": "n_cells"})
    return tables if cells.known.all() else tables | {"novel": _novel(cells, names)}


class _Cells(NamedTuple):
    """What is known of each of n cells.

    Attributes
    ----------
    scores
        What is needed of the probabilities.
    true, called
        As they were given.
    known
        (n,) bool: of one of the C classes.
    trust
        (n,) how far each cell can be trusted, by what tells it.
    held, sizes
        (n,) whether the prediction set holds the true class, and its size; None without sets.
    """

    scores: TrueClass
    true: np.ndarray
    called: np.ndarray
    known: np.ndarray
    trust: dict[str, np.ndarray]
    held: np.ndarray | None
    sizes: np.ndarray | None

    @property
    def n_classes(self) -> int:
        return self.scores.n_classes

    @property
    def right(self) -> np.ndarray:
        """(n,) bool: the most probable class is the true one; never for a novel cell."""
        return self.scores.right

    @property
    def rejected(self) -> np.ndarray:
        return self.called == self.n_classes

    @property
    def parts(self) -> dict[str, np.ndarray]:
        """The cells of known classes, and all where there are others."""
        return {"known": self.known} | ({} if self.known.all() else {"all": np.ones_like(self.known)})


def _cells(
    prob: np.ndarray | Iterable[np.ndarray],
    true: np.ndarray,
    called: np.ndarray,
    sets: sparse.csr_matrix | Iterable[sparse.csr_matrix] | None,
    novelty: np.ndarray | None,
    *,
    n_labels: int,
) -> _Cells:
    true = check_codes(true, len(true), n_labels)
    cells = TrueClass.of(prob, true)
    called = check_codes(called, len(true), cells.n_classes + 1)
    known = true < cells.n_classes
    if not known.any():
        raise ValueError(
            f"All {len(true)} cells are of types that could not be called; scores need cells of known classes as well."
        )
    trust = {"confidence": cells.confidence}
    if novelty is not None:
        scores = np.asarray(novelty, dtype=np.float64)
        trust["novelty"] = -np.where(np.isnan(scores), np.inf, scores)
    held, sizes = (None, None) if sets is None else _read_sets(sets, true, known)
    return _Cells(cells, true, called, known, trust, held, sizes)


def _read_sets(
    sets: sparse.csr_matrix | Iterable[sparse.csr_matrix], true: np.ndarray, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(n,) whether the set of each cell holds its class, and how many classes it holds."""
    held, sizes, start = np.zeros(len(true), dtype=bool), [], 0
    for block in [sets] if sparse.issparse(sets) else sets:
        rows = sparse.csr_matrix(block, dtype=bool)
        inside = np.flatnonzero(known[start : start + rows.shape[0]])
        held[start + inside] = np.asarray(rows[inside, true[start + inside]]).ravel()
        sizes.append(np.asarray(rows.sum(axis=1)).ravel())
        start += rows.shape[0]
    return held, np.concatenate(sizes)


def _overall(cells: _Cells, table: pd.DataFrame, n_bins: int) -> pd.DataFrame:
    """One row for each score and the cells it is of."""
    known, rejected, called_right = cells.known, cells.rejected, cells.called == cells.true
    scores = {"known": _known_scores(cells, table, n_bins)}
    if not known.all():
        scores["novel"] = {"rejected": rejected[~known].mean()}
        scores["all"] = {"accuracy": np.where(known, called_right, rejected).mean()}
    for part, chosen in cells.parts.items():
        for by, values in cells.trust.items():
            scores[part][f"aurc_{by}"] = risk_coverage_area(values[chosen], cells.right[chosen])
    if not known.all():
        scores["all"] |= _separation(cells, ~known)
    sizes = {"known": known.sum(), "novel": (~known).sum(), "all": len(known)}
    rows = [(name, part, int(sizes[part]), float(scores[part][name])) for part in scores for name in scores[part]]
    return pd.DataFrame(rows, columns=["score", "cells", "n_cells", "value"])


def _known_scores(cells: _Cells, table: pd.DataFrame, n_bins: int) -> dict[str, float]:
    """Scores of the cells whose class the model knows."""
    known, true, rejected = cells.scores.take(cells.known), cells.true[cells.known], cells.rejected[cells.known]
    scores = mean_scores(table)
    if not rejected.all():
        scores["accuracy_called"] = (cells.called[cells.known] == true)[~rejected].mean()
    scores |= {
        "rejected": rejected.mean(),
        "nll": likelihood_of(known),
        "brier": brier_of(known),
        "ece": error_of(reliability_of(known, n_bins=n_bins)),
    }
    if cells.held is not None and cells.sizes is not None:
        scores |= {"set_coverage": cells.held[cells.known].mean(), "set_size": cells.sizes[cells.known].mean()}
    return scores


def _per_class(cells: _Cells, table: pd.DataFrame, names: np.ndarray) -> pd.DataFrame:
    """One row for each class that has true or called cells."""
    known, n_classes = cells.known, cells.n_classes
    confidence = cells.trust["confidence"]
    table = table.assign(confidence=_means(confidence[known], cells.called[known], n_classes))
    if cells.held is not None and cells.sizes is not None:
        table["set_coverage"] = _means(cells.held[known], cells.true[known], n_classes)
        table["set_size"] = _means(cells.sizes[known], cells.true[known], n_classes)
    table.insert(0, "label", names[:n_classes])
    return table[table[["n_cells", "n_called", "n_novel_called"]].sum(axis=1) > 0].reset_index(drop=True)


def _means(values: np.ndarray, codes: np.ndarray, n_classes: int) -> np.ndarray:
    """(n_classes,) mean of the values of each code; NaN without any."""
    sums = np.bincount(codes, weights=values, minlength=n_classes)[:n_classes]
    with np.errstate(invalid="ignore"):
        return sums / np.bincount(codes, minlength=n_classes)[:n_classes]


def _curves(cells: _Cells) -> pd.DataFrame:
    """The risk-coverage curves one below the other; thresholds are in the units of what cells are sorted by."""
    found = []
    for part, chosen in cells.parts.items():
        for by, values in cells.trust.items():
            curve = risk_coverage_curve(values[chosen], cells.right[chosen], max_points=_MOST_POINTS)
            if by == "novelty":
                curve["threshold"] *= -1
            curve.insert(0, "cells", part)
            curve.insert(1, "sorted_by", by)
            found.append(curve)
    return pd.concat(found, ignore_index=True)


def _confusion(counts: np.ndarray, names: np.ndarray) -> pd.DataFrame:
    """Every pair of true label and call that occurs."""
    calls = np.append(names[: counts.shape[1] - 1], UNKNOWN)
    true, called = np.nonzero(counts)
    return pd.DataFrame({"true": names[true], "called": calls[called], "n_cells": counts[true, called]})


def _novel(cells: _Cells, names: np.ndarray) -> pd.DataFrame:
    """One row for each label that could not be called."""
    rows: list[dict[str, object]] = []
    for code in np.unique(cells.true[~cells.known]):
        chosen = cells.true == code
        row = {"label": names[code], "n_cells": int(chosen.sum()), "rejected": float(cells.rejected[chosen].mean())}
        rows.append(row | _separation(cells, chosen))
    return pd.DataFrame(rows)


def _separation(cells: _Cells, novel: np.ndarray) -> dict[str, float]:
    """AUROC of these cells against the known ones: how often, of one of each, the novel one is trusted less."""
    chosen = cells.known | novel
    return {f"auroc_{by}": auroc(-values[chosen], novel[chosen]) for by, values in cells.trust.items()}
