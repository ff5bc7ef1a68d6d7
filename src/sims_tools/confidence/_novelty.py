"""How unlike the training cells a cell is by its logits, and from which score on a cell is called unknown."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from sims_tools._validate import check_open_share, check_positive

from ._checks import check_rows
from ._quantiles import conformal_rank

_LARGEST = 1e30
"""Logits are cut off here, as the softmax does."""


@dataclass(frozen=True)
class Energy:
    """Free energy of the logits: small where some class claims the cell.

    Liu et al., "Energy-based Out-of-distribution Detection" (NeurIPS 2020).

    Parameters
    ----------
    temperature
        Logits are divided by it. 1 is the paper's choice.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        check_positive("temperature", self.temperature)

    def score(self, logits: np.ndarray) -> np.ndarray:
        """(n,) float32 -T logsumexp(logits / T) of logits (n, C)."""
        rows = np.clip(check_rows("logits", logits).astype(np.float64), -_LARGEST, _LARGEST)
        return (-self.temperature * logsumexp(rows / self.temperature, axis=1)).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What to store."""
        return {"temperature": np.array([self.temperature], dtype=np.float64)}

    @classmethod
    def from_arrays(cls, stored: dict[str, np.ndarray]) -> Energy:
        """The inverse of :meth:`to_arrays`."""
        return cls(float(stored["temperature"][0]))


def rejection_threshold(scores: np.ndarray, coverage: float) -> float:
    """Score above which a cell is rejected, so that the wanted share of known cells is kept.

    A fresh known cell that is exchangeable with those given is kept with a probability of at least `coverage`: the
    threshold is the score of rank ceil((n + 1) coverage), as in conformal prediction.

    Parameters
    ----------
    scores
        (n,) of known cells that were not trained on.
    coverage
        Share of known cells to keep, between 0 and 1.

    Returns
    -------
    The threshold; cells that score at most this are kept. Infinite where there are too few cells to promise that share:
    then nothing is rejected.

    Raises
    ------
    ValueError
        There are no scores, some are NaN, or `coverage` is not between 0 and 1.
    """
    coverage = check_open_share("coverage", coverage)
    found = np.asarray(scores)
    if found.ndim != 1 or not found.size:
        raise ValueError(f"`scores` has shape {found.shape}; expected (n_cells,), one score for each known cell.")
    rank = conformal_rank(found.size, 1.0 - coverage)
    ordered = np.sort(check_rows("scores", found[:, None])[:, 0])
    return math.inf if rank > found.size else float(ordered[rank - 1])
