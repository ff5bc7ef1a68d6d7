"""Classification scores of a whole epoch, all from one confusion matrix."""

from __future__ import annotations

import torch
from torch import Tensor

SCORES = (
    "accuracy",
    "balanced_accuracy",
    "macro_f1",
    "weighted_f1",
    "median_f1",
    "macro_precision",
    "macro_recall",
    "macro_specificity",
)


def scores_from_confusion(confusion: Tensor) -> dict[str, Tensor]:
    """Scores over the classes that occur, true or predicted.

    Balanced accuracy is the mean recall of the classes that have true cells; the other means are over the classes that
    have true or predicted cells, as scikit-learn's. A ratio without cases counts as zero.

    Parameters
    ----------
    confusion
        (C, C) counts, true class by predicted class.

    Returns
    -------
    A 0-d float64 tensor for each name in `SCORES`.
    """
    table = confusion.double()
    hits, true, called = table.diagonal(), table.sum(1), table.sum(0)
    total = table.sum()
    seen, occurs = true > 0, (true > 0) | (called > 0)
    recall, precision = _ratio(hits, true), _ratio(hits, called)
    f1 = _ratio(2 * hits, true + called)
    specificity = _ratio(total - true - called + hits, total - true)
    return {
        "accuracy": _ratio(hits.sum(), total),
        "balanced_accuracy": _mean(recall[seen]),
        "macro_f1": _mean(f1[occurs]),
        "weighted_f1": _ratio((f1 * true).sum(), total),
        "median_f1": f1[occurs].quantile(0.5) if occurs.any() else total * 0,
        "macro_precision": _mean(precision[occurs]),
        "macro_recall": _mean(recall[occurs]),
        "macro_specificity": _mean(specificity[occurs]),
    }


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    return torch.where(whole > 0, part / whole.clamp_min(1e-300), torch.zeros_like(part))


def _mean(values: Tensor) -> Tensor:
    return values.sum() / max(values.numel(), 1)
