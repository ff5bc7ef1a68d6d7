"""Masks of the steps of one minibatch, on their support."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._memory import unset


class Masks:
    """Masks of all steps so far, one after the other.

    Parameters
    ----------
    n_rows
        Number B of cells.
    gamma
        Relaxation of the prior.
    dtype
        Of the shares.

    Attributes
    ----------
    starts
        (n_steps, B + 1) int64 where each cell starts in the others.
    """

    def __init__(self, n_rows: int, gamma: float, dtype: Any) -> None:
        self.gamma = gamma
        self.starts = np.empty((0, n_rows + 1), np.int64)
        self._arrays = [np.empty(0, np.int32), np.empty(0, dtype), np.empty(0, dtype)]
        self._size = 0

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def genes(self) -> np.ndarray:
        """Selected genes, rising in each cell."""
        return self._arrays[0][: self._size]

    @property
    def shares(self) -> np.ndarray:
        """Their shares, which sum to 1 over a cell and step."""
        return self._arrays[1][: self._size]

    @property
    def ratios(self) -> np.ndarray:
        """What each leaves of the prior, ``(gamma - share) / gamma``."""
        return self._arrays[2][: self._size]

    def room(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Genes and shares of n more entries, to be written, of a step that :meth:`close` will end."""
        end = self._size + n
        if end > len(self._arrays[0]):
            self._grow(max(end, 3 * len(self._arrays[0]) // 2))
        span = slice(self._size, end)
        self._size = end
        return self._arrays[0][span], self._arrays[1][span]

    def _grow(self, size: int) -> None:
        for i, known in enumerate(self._arrays):
            self._arrays[i] = unset((size,), known.dtype)
            self._arrays[i][: self._size] = known[: self._size]

    def close(self, counts: np.ndarray) -> None:
        """End a step that selected so many genes (B,) in each cell."""
        first = self._size - int(counts.sum())
        self.starts = np.concatenate([self.starts, first + np.concatenate([[0], counts.cumsum()])[None]])
        ratios = self.ratios[first:]
        np.divide(self.shares[first:], -self.gamma, out=ratios)
        ratios += 1

    def span(self, step: int) -> slice:
        """Where a step's entries are."""
        return slice(int(self.starts[step, 0]), int(self.starts[step, -1]))

    def indptr(self, step: int) -> np.ndarray:
        """(B + 1,) row starts of one step's mask alone."""
        return self.starts[step] - self.starts[step, 0]
