"""What a method is: something that is fitted to some rows of the cells and then calls others."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sims_tools.studies._cells import StudyCells


@dataclass(frozen=True)
class Prediction:
    """What is said of n cells.

    Attributes
    ----------
    prob
        (n, C) probabilities.
    called
        (n,) index of the class that each is called; C where it is not called.
    """

    prob: np.ndarray
    called: np.ndarray


class Fitted(ABC):
    """A method that was fitted.

    Attributes
    ----------
    classes
        (C,) names, in the order of the probabilities.
    history
        What was tracked, epoch by epoch: equally long float arrays by name.
    """

    classes: np.ndarray
    history: dict[str, np.ndarray]

    @abstractmethod
    def predict(self, cells: StudyCells, rows: np.ndarray) -> Prediction:
        """Call some rows."""


@dataclass(frozen=True)
class Method(ABC):
    """A classifier and how it is to be trained.

    Attributes
    ----------
    title
        What it is called in tables.
    options
        Its parameters.
    """

    title: str
    options: dict[str, Any] = field(default_factory=dict)

    gives_probabilities: ClassVar[bool] = True
    needs_counts: ClassVar[bool] = False
    reads_proteins: ClassVar[bool] = False

    def __post_init__(self) -> None:
        self.check_options()

    def check_options(self) -> None:
        """Raise TypeError or ValueError unless all options are known and in range."""
        return

    @property
    @abstractmethod
    def name(self) -> str:
        """How users ask for it."""

    @property
    def obs_columns(self) -> tuple[str, ...]:
        """Columns of `.obs` that training reads beside the labels."""
        return ()

    def threads(self, available: int) -> int:
        """How many threads it uses: one, unless its result is the same to the bit for any number."""
        return 1

    def warm_up(self) -> None:
        """Do once in a process what no run should be charged with (compilation); most have nothing to do."""
        return

    @abstractmethod
    def fit(self, cells: StudyCells, rows: np.ndarray, seed: int) -> Fitted:
        """Train on some rows; values and labels of no other row are read."""
