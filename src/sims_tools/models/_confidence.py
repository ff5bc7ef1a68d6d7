"""What held-out cells say about how far a model's probabilities can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from sims_tools.confidence import Conformal, Temperature


@dataclass(frozen=True)
class Confidence:
    """Temperature and conformal scores of a model's validation cells.

    The temperature is one number, fitted on the cells that the conformal scores are of, after which those scores are
    not quite exchangeable with those of fresh cells; with one number that is not felt.

    Attributes
    ----------
    temperature
        What logits are divided by; 1 where no cells were held out.
    conformal
        Scores of the calibrated probabilities, from which prediction sets follow; None where no cells were held out.
    """

    temperature: Temperature = field(default_factory=Temperature)
    conformal: Conformal | None = None

    @classmethod
    def fit(cls, logits: np.ndarray, codes: np.ndarray) -> Self:
        """Fit on held-out cells.

        Parameters
        ----------
        logits
            (n, C).
        codes
            (n,) true classes.
        """
        if len(logits) == 0:
            return cls()
        temperature = Temperature.fit(logits, codes)
        return cls(temperature, Conformal.fit(temperature.apply(logits), codes))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON."""
        conformal = None if self.conformal is None else self.conformal.to_dict()
        return {"temperature": self.temperature.to_dict(), "conformal": conformal}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        conformal = None if stored["conformal"] is None else Conformal.from_dict(stored["conformal"])
        return cls(Temperature.from_dict(stored["temperature"]), conformal)
