"""What held-out cells say about how far a model's probabilities can be trusted, and its cells be known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from scipy import sparse

from sims_tools.confidence import Conformal, ExpressionNovelty, Temperature
from sims_tools.confidence._sampling import balanced_choice
from sims_tools.data._dataset import CellDataset
from sims_tools.data._features import SEEN_OF
from sims_tools.data._moments import log_cp10k
from sims_tools.models._training_data import NOVELTY_CELLS


@dataclass(frozen=True)
class Confidence:
    """Temperature, conformal scores and novelty of a model's validation cells.

    The temperature is one number, fitted on the cells that the conformal scores are of, after which those scores are
    not quite exchangeable with those of fresh cells; with one number that is not felt.

    Attributes
    ----------
    temperature
        What logits are divided by; 1 where no cells were held out.
    conformal
        Scores of the calibrated probabilities, from which prediction sets follow; None where no cells were held out.
    novelty
        Tells cells that are like the training cells from others; None where no cells were held out, or the model is
        of before it was fitted.
    alone
        The same of cells of which nothing but one modality is seen, by modality, where the model reads several. Their
        novelty reads the same components, which have to do :meth:`~sims_tools.confidence.ExpressionNovelty.without`
        the other modality.
    """

    temperature: Temperature = field(default_factory=Temperature)
    conformal: Conformal | None = None
    novelty: ExpressionNovelty | None = None
    alone: Mapping[str, Confidence] = field(default_factory=dict)

    def of(self, seen: int) -> Confidence:
        """What suits cells of which so much is seen (`SEEN_RNA`, `SEEN_PROTEIN` or both)."""
        return next((each for role, each in self.alone.items() if SEEN_OF[role] == seen), self)

    @classmethod
    def fit(cls, logits: np.ndarray, codes: np.ndarray, novelty: ExpressionNovelty | None = None) -> Self:
        """Fit on held-out cells.

        Parameters
        ----------
        logits
            (n, C).
        codes
            (n,) true classes.
        novelty
            Fitted already; it is kept.
        """
        if len(logits) == 0:
            return cls()
        temperature = Temperature.fit(logits, codes)
        return cls(temperature, Conformal.fit(temperature.apply(logits), codes), novelty)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and lists, for JSON; the parts of `novelty` are arrays."""
        conformal = None if self.conformal is None else self.conformal.to_dict()
        stored: dict[str, Any] = {"temperature": self.temperature.to_dict(), "conformal": conformal}
        if self.novelty is not None:
            stored["novelty"] = self.novelty.to_arrays()
        for role, each in self.alone.items():
            own = replace(each, novelty=None).to_dict()
            if each.novelty is not None:
                own["novelty"] = each.novelty.units_to_arrays()
            stored.setdefault("alone", {})[role] = own
        return stored

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`."""
        conformal = None if stored["conformal"] is None else Conformal.from_dict(stored["conformal"])
        novelty = ExpressionNovelty.from_arrays(stored["novelty"]) if "novelty" in stored else None
        whole = cls(Temperature.from_dict(stored["temperature"]), conformal, novelty)
        alone = {}
        for role, each in stored.get("alone", {}).items():
            own = cls.from_dict({name: value for name, value in each.items() if name != "novelty"})
            units = each.get("novelty")
            reads = None if novelty is None or units is None else novelty.with_units(units)
            alone[role] = replace(own, novelty=reads)
        return replace(whole, alone=alone)


def fit_novelty(dataset: CellDataset, train: np.ndarray, validation: np.ndarray) -> ExpressionNovelty:
    """Novelty from the expression of some training cells, calibrated on all validation cells.

    Parameters
    ----------
    dataset
        The cells.
    train, validation
        Rows of it that carry a label; at least one each.
    """
    codes = dataset.labels[train]
    chosen = np.sort(train[balanced_choice(codes, NOVELTY_CELLS, 0)])
    rows = sparse.vstack([log_cp10k(*block) for block in dataset.linear_blocks(chosen)], format="csr")
    known = (log_cp10k(*block) for block in dataset.linear_blocks(validation))
    return ExpressionNovelty.fit(rows, dataset.labels[chosen], known)
