"""Scores of known cells, which say how unusual any other score is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import numpy as np

from sims_tools._validate import check_open_share

from ._checks import check_rows
from ._quantiles import conformal_rank, shorten, stored_ranks

_STORED = 2000


@dataclass(frozen=True, eq=False)
class KnownScores:
    """Sorted scores of known cells that were not trained on.

    Parameters
    ----------
    scores
        (m,) float32, sorted; of many cells evenly spaced ones.
    n_cells
        Cells they stand for.
    """

    scores: np.ndarray
    n_cells: int

    @classmethod
    def fit(cls, scores: np.ndarray) -> Self:
        """Keep scores (n,), or so many of them that ranks are known to half a thousandth."""
        found = check_rows("scores", np.asarray(scores)[:, None])[:, 0]
        return cls(shorten(found, _STORED).astype(np.float32), len(found))

    def share_below(self, scores: np.ndarray) -> np.ndarray:
        """(n,) float32: share of known cells that score less, each cell counted among them.

        Up to the largest score stored it is 1 less the conformal p-value: at least 1 - s with a probability of at most
        s for a known cell that is exchangeable with those stored. Above, it rises towards 1 with the distance.
        """
        values = scores.astype(np.float32)
        ranks = np.concatenate([[0], stored_ranks(self.n_cells, len(self.scores))])
        below = ranks[np.searchsorted(self.scores, values, side="left")]
        above = np.maximum(values.astype(np.float64) - self.scores[-1], 0.0)
        return ((below + above / (1 + above)) / (self.n_cells + 1)).astype(np.float32)

    def needed(self, share: float) -> int:
        """Known cells that it takes to reject at all."""
        return math.ceil(1 / check_open_share("share", share) - 1e-9) - 1

    def beyond(self, scores: np.ndarray, share: float) -> np.ndarray:
        """(n,) bool: the score is among the highest, beyond all but this share of those of known cells.

        A known cell that is exchangeable with those stored is beyond with a probability of at most `share`.
        """
        rank = conformal_rank(self.n_cells, check_open_share("share", share))
        if rank > self.n_cells:
            return np.zeros(len(scores), dtype=bool)
        at = np.searchsorted(stored_ranks(self.n_cells, len(self.scores)), rank)
        return np.asarray(scores.astype(np.float32) > self.scores[at])
