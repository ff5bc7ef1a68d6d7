"""How unlike the training cells a cell is: distance to its nearest neighbours among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sims_tools._validate import check_count

from ._checks import check_codes, check_finite
from ._sampling import balanced_choice

_ROWS = 1 << 10
"""Cells that are compared with the stored ones at a time."""


@dataclass(frozen=True, eq=False)
class NeighbourDistance:
    """Distance to the k-th nearest training cell, between embeddings scaled to length 1.

    Sun et al., "Out-of-Distribution Detection with Deep Nearest Neighbors" (ICML 2022).

    Parameters
    ----------
    stored
        (m, d) float32 embeddings of training cells, of length 1 (or 0).
    n_neighbours
        k.
    """

    stored: np.ndarray
    n_neighbours: int

    @classmethod
    def fit(
        cls,
        embedding: np.ndarray,
        codes: np.ndarray,
        *,
        n_neighbours: int = 5,
        max_cells: int = 4096,
        random_state: int | None = 0,
    ) -> NeighbourDistance:
        """Keep some training cells.

        Parameters
        ----------
        embedding
            (n, d) of training cells.
        codes
            (n,) class of each, at least 0.
        n_neighbours
            k; small, so that a rare class has as many cells. No more than there are cells.
        max_cells
            Cells to keep; where there are more, as many of each class, and all of those that have fewer.
        random_state
            Seed of the choice.

        Raises
        ------
        ValueError
            There are no cells, shapes do not fit, values are not finite, codes are negative, or a setting is not
            above 0.
        """
        check_count("n_neighbours", n_neighbours)
        check_count("max_cells", max_cells)
        rows = check_finite("embedding", embedding)
        true = check_codes(codes, len(rows))
        kept = balanced_choice(true, max_cells, random_state)
        return cls(_unit(rows[kept]), min(n_neighbours, len(kept)))

    def score(self, embedding: np.ndarray) -> np.ndarray:
        """(n,) float32, from 0 to 2, of embeddings (n, d)."""
        rows = _unit(check_finite("embedding", embedding, self.stored.shape[1]))
        scores = np.empty(len(rows), dtype=np.float32)
        lengths = np.einsum("ij,ij->i", self.stored, self.stored)
        for start in range(0, len(rows), _ROWS):
            block = rows[start : start + _ROWS]
            squares = lengths - 2.0 * (block @ self.stored.T)
            squares.partition(self.n_neighbours - 1, axis=1)
            nearest = squares[:, self.n_neighbours - 1] + np.einsum("ij,ij->i", block, block)
            scores[start : start + _ROWS] = np.sqrt(np.maximum(nearest, 0.0))
        return scores

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What to store."""
        return {"stored": self.stored, "n_neighbours": np.array([self.n_neighbours], dtype=np.int64)}

    @classmethod
    def from_arrays(cls, stored: dict[str, np.ndarray]) -> NeighbourDistance:
        """The inverse of :meth:`to_arrays`."""
        return cls(stored["stored"], int(stored["n_neighbours"][0]))


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1; those of zeros stay."""
    largest = np.abs(rows).max(1, keepdims=True).astype(np.float64)
    values = rows / np.where(largest > 0, largest, 1.0)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.ascontiguousarray(values / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)
