"""How little a class suits a cell: the scores that conformal prediction ranks."""

from __future__ import annotations

import numpy as np

SCORES = ("lac", "aps", "raps")


def conformity(
    score: str, prob: np.ndarray, random_state: int | np.random.Generator | None, *, penalty: float, free_ranks: int
) -> np.ndarray:
    """One of `SCORES` of each class for each cell, (n, C) float64; higher suits less.

    Parameters
    ----------
    score
        "lac" is :func:`least_ambiguous`, "aps" and "raps" are :func:`adaptive`.
    prob
        (n, C) probabilities.
    random_state
        Seed of "aps" and "raps", or a generator.
    penalty, free_ranks
        Of "raps"; a penalty of 0 makes it "aps".
    """
    if score == "lac":
        return least_ambiguous(prob)
    draws = np.random.default_rng(random_state).random(len(prob))
    return adaptive(prob, draws, penalty=penalty, free_ranks=free_ranks)


def least_ambiguous(prob: np.ndarray) -> np.ndarray:
    """1 - probability of each class, (n, C) float64.

    Sadinle, Lei and Wasserman, "Least Ambiguous Set-Valued Classifiers With Bounded Error Levels" (JASA 2019).

    Parameters
    ----------
    prob
        (n, C) probabilities.
    """
    return 1.0 - prob.astype(np.float64)


def adaptive(prob: np.ndarray, draws: np.ndarray, *, penalty: float = 0.0, free_ranks: int = 0) -> np.ndarray:
    """Probability of all classes above each class, and a random part of its own, (n, C) float64.

    Romano, Sesia and Candes, "Classification with Valid and Adaptive Coverage" (NeurIPS 2020). With a penalty for
    every rank after the first `free_ranks` it is the regularised score of Angelopoulos et al., "Uncertainty Sets for
    Image Classifiers using Conformal Prediction" (ICLR 2021).

    Parameters
    ----------
    prob
        (n, C) probabilities; ties go to the first class.
    draws
        (n,) in [0, 1): the part of its own probability that counts.
    penalty
        Added for each rank after the free ones.
    free_ranks
        Ranks without a penalty.
    """
    order = np.argsort(-prob, axis=1, kind="stable")
    ranked = np.take_along_axis(prob, order, axis=1).astype(np.float64)
    values = np.cumsum(ranked, axis=1) - (1.0 - draws[:, None]) * ranked
    values += penalty * np.maximum(np.arange(1, prob.shape[1] + 1) - free_ranks, 0)
    scores = np.empty_like(values)
    np.put_along_axis(scores, order, values, axis=1)
    return scores
