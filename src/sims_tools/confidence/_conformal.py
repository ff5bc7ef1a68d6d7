"""Conformal prediction: sets of classes that hold the true one as often as promised."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sims_tools._validate import check_choice, check_count, check_open_share, check_positive

from ._checks import check_codes, check_prob
from ._conformity import SCORES, conformity
from ._quantiles import conformal_rank, shorten, threshold


@dataclass(frozen=True, eq=False)
class Thresholds:
    """Largest score that is still in the set.

    Attributes
    ----------
    values
        (C,) float64, one for each class; infinite where the class is in every set.
    too_few
        Calibration cells of each class, by its code, that has too few of them for the promise asked for.
    needed
        How many it would have taken.
    """

    values: np.ndarray
    too_few: dict[int, int]
    needed: int


@dataclass(frozen=True, eq=False)
class Conformal:
    """Scores of held-out cells, from which sets for any promise follow (split conformal prediction).

    A set for `alpha` holds the true class with a probability of at least 1 - alpha, whatever the model, provided the
    cell is exchangeable with the calibration cells: drawn from the same donors, tissue and technology. The promise is
    about cells on average, or about those of each class with `class_conditional` (Vovk, "Conditional validity of
    inductive conformal predictors", ACML 2012). It says nothing of a class that the model does not know.

    The score is 1 - probability of the class ("lac") unless another is asked for: where probabilities are right its
    sets are the smallest on average that keep the promise (Sadinle et al., JASA 2019).

    Parameters
    ----------
    score
        "lac", "aps" or "raps"; see :meth:`fit`.
    scores
        For each class the sorted scores of its calibration cells, float64; of many cells evenly spaced ones.
    n_cells
        Calibration cells of each class.
    penalty, free_ranks
        Of "raps".
    """

    score: str
    scores: tuple[np.ndarray, ...]
    n_cells: tuple[int, ...]
    penalty: float = 0.0
    free_ranks: int = 0

    @classmethod
    def fit(
        cls,
        prob: np.ndarray,
        codes: np.ndarray,
        *,
        score: str = "lac",
        penalty: float = 0.01,
        free_ranks: int = 2,
        max_scores: int = 1000,
        random_state: int | None = 0,
    ) -> Conformal:
        """Score held-out cells.

        Parameters
        ----------
        prob
            (n, C) probabilities of cells that neither trained the model nor, strictly, fitted its temperature.
        codes
            (n,) true class of each, in [0, C).
        score
            "lac": 1 - probability. "aps": probability of the classes above, randomised (Romano et al., NeurIPS 2020);
            larger sets that adapt more to how hard a cell is. "raps": the same with a penalty for long sets
            (Angelopoulos et al., ICLR 2021).
        penalty, free_ranks
            "raps" adds `penalty` for each class after the first `free_ranks`.
        max_scores
            Scores to keep of a class. With fewer than its cells, sets are larger by what covers 1 / `max_scores` of
            its cells at most, never smaller.
        random_state
            Seed of "aps" and "raps".

        Raises
        ------
        ValueError
            There are no cells, shapes do not fit, values are no probabilities, codes or settings out of range.
        """
        check_choice("score", score, SCORES)
        check_positive("penalty", penalty, zero=True)
        check_positive("free_ranks", free_ranks, zero=True)
        check_count("max_scores", max_scores)
        prob = check_prob(prob)
        true = check_codes(codes, *prob.shape)
        penalty, free_ranks = (float(penalty), int(free_ranks)) if score == "raps" else (0.0, 0)
        stream = np.random.default_rng(random_state).spawn(1)[0]  # not that of `sets`, whose draws must be others
        every = conformity(score, prob, stream, penalty=penalty, free_ranks=free_ranks)
        own = every[np.arange(len(true)), true]
        groups = [own[true == code] for code in range(prob.shape[1])]
        kept = tuple(shorten(group, max_scores) for group in groups)
        return cls(score, kept, tuple(len(group) for group in groups), penalty, free_ranks)

    @property
    def n_classes(self) -> int:
        """Number of classes of the model."""
        return len(self.scores)

    def thresholds(self, alpha: float, *, class_conditional: bool = False, few: str = "include") -> Thresholds:
        """The score up to which a class is in the set.

        It is the score of rank ceil((n + 1)(1 - alpha)) among the n of all calibration cells, or of those of the class.
        With fewer than ceil(1 / alpha) - 1 cells there is no such rank.

        Parameters
        ----------
        alpha
            Share of cells whose set may miss the true class, between 0 and 1.
        class_conditional
            Keep the promise for each class, not only on average.
        few
            What becomes of a class with too few calibration cells to promise anything, where `class_conditional`.
            "include" puts it into every set, which keeps the promise. "marginal" gives it the threshold of all cells
            or the largest score of its own, whichever is larger: small sets, and no promise for that class.

        Raises
        ------
        ValueError
            `alpha` is not between 0 and 1, or `few` is neither.
        """
        alpha = check_open_share("alpha", alpha)
        check_choice("few", few, ("include", "marginal"))
        needed = math.ceil(1 / alpha - 1e-9) - 1
        overall = threshold(list(self.scores), list(self.n_cells), alpha)
        if not class_conditional:
            lacking = dict(enumerate(self.n_cells)) if math.isinf(overall) else {}
            return Thresholds(np.full(self.n_classes, overall), lacking, needed)
        lacking = {code: n for code, n in enumerate(self.n_cells) if conformal_rank(n, alpha) > n}
        values = np.array([threshold([s], [n], alpha) for s, n in zip(self.scores, self.n_cells, strict=True)])
        if few == "marginal":
            for code in lacking:
                values[code] = max(overall, self.scores[code].max(initial=-math.inf))
        return Thresholds(values, lacking, needed)

    def sets(
        self,
        prob: np.ndarray,
        alpha: float,
        *,
        class_conditional: bool = False,
        few: str = "include",
        never_empty: bool = True,
        random_state: int | np.random.Generator | None = 0,
    ) -> np.ndarray:
        """Which classes each cell may be.

        Parameters
        ----------
        prob
            (n, C) probabilities, computed as those of the calibration cells were.
        alpha, class_conditional, few
            As :meth:`thresholds` takes them.
        never_empty
            Put the most probable class into every set. Without it a set may be empty, which the promise allows for
            where the model is right more often than 1 - alpha; with it, more cells are covered than promised there.
        random_state
            Seed of "aps" and "raps". Pass one generator to all calls where cells come block by block.

        Returns
        -------
        (n, C) bool.

        Raises
        ------
        ValueError
            Shapes do not fit, values are no probabilities, or settings are out of range.
        """
        limits = self.thresholds(alpha, class_conditional=class_conditional, few=few).values
        prob = check_prob(prob, self.n_classes)
        held = conformity(self.score, prob, random_state, penalty=self.penalty, free_ranks=self.free_ranks) <= limits
        if never_empty:
            held[np.arange(len(prob)), prob.argmax(1)] = True
        return held

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        return {
            "score": self.score,
            "scores": [each.tolist() for each in self.scores],
            "n_cells": list(self.n_cells),
            "penalty": self.penalty,
            "free_ranks": self.free_ranks,
        }

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Conformal:
        """The inverse of :meth:`to_dict`."""
        scores = tuple(np.asarray(each, dtype=np.float64) for each in stored["scores"])
        return cls(**(stored | {"scores": scores, "n_cells": tuple(stored["n_cells"])}))
