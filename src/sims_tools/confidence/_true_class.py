"""What scores need of probabilities, taken out of them some cells at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np

from ._checks import check_codes, check_prob


class TrueClass(NamedTuple):
    """What the probabilities of n cells say of the classes that these have.

    Attributes
    ----------
    confidence
        (n,) float64 largest probability.
    right
        (n,) bool: its class is the true one.
    of_true
        (n,) float64 probability of the true class; 0 for a cell of none.
    squares
        (n,) float64 sum of squared probabilities.
    n_classes
        Number of classes.
    """

    confidence: np.ndarray
    right: np.ndarray
    of_true: np.ndarray
    squares: np.ndarray
    n_classes: int

    @classmethod
    def of(cls, prob: np.ndarray | Iterable[np.ndarray], true: np.ndarray) -> Self:
        """Read probabilities once.

        Parameters
        ----------
        prob
            (n, C), whole or in blocks of rows.
        true
            (n,) true class; from C on the cell is of none of the classes.

        Raises
        ------
        ValueError
            Values are no probabilities, or not as many as true classes.
        """
        found: list[tuple[np.ndarray, ...]] = []
        start = n_classes = 0
        for block in [prob] if isinstance(prob, np.ndarray) else prob:
            block = check_prob(block, n_classes or None)
            n_classes, stop = block.shape[1], start + len(block)
            found.append(_read(block, check_codes(true[start:stop], len(block))))
            start = stop
        if start != len(true):
            raise ValueError(f"There are probabilities of {start} cells and true classes of {len(true)}.")
        confidence, right, of_true, squares = map(np.concatenate, zip(*found, strict=True))
        return cls(confidence, right, of_true, squares, n_classes)

    def take(self, cells: np.ndarray) -> Self:
        """Those of some cells, as positions or bool."""
        some = (self.confidence, self.right, self.of_true, self.squares)
        return self._replace(**dict(zip(self._fields, (values[cells] for values in some), strict=False)))


def _read(prob: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, ...]:
    known = true < prob.shape[1]
    of_true = prob[np.arange(len(prob)), np.where(known, true, 0)].astype(np.float64)
    squares = np.einsum("ij,ij->i", prob, prob, dtype=np.float64)
    return prob.max(1).astype(np.float64), prob.argmax(1) == true, np.where(known, of_true, 0.0), squares
