"""What a method is: something to fit to labelled cells that then gives probabilities for others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np
from benchmarks.accuracy.cells import Cells

N_GENES = 2000
"""Most variable genes, for methods whose users choose some."""


class Method(ABC):
    """One method.

    Parameters
    ----------
    seed
        Of everything random.
    threads
        It may use.
    """

    needs_counts: ClassVar[bool] = False
    seeded: ClassVar[bool] = True
    """Whether a seed changes the model; one that ignores it is trained once where nothing else depends on the seed."""
    calibrated: ClassVar[bool] = True
    """Whether it claims to give probabilities."""

    def __init__(self, seed: int, threads: int) -> None:
        self.seed, self.threads = seed, threads

    @classmethod
    def warm_up(cls) -> None:
        """Do once in a process what no training should be charged with (compilation); most have nothing to do."""
        return

    @abstractmethod
    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        """Train on labelled cells; return the names of the classes, in the order of the probabilities' columns."""

    @abstractmethod
    def predict_proba(self, cells: Cells) -> np.ndarray:
        """(n, C). Genes may be fewer than in training."""

    def notes(self) -> dict[str, Any]:
        """What else to write down about the last prediction."""
        return {}
