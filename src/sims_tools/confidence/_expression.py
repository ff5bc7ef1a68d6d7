"""How unlike the training cells a cell is in its expression, whatever the network made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from scipy import sparse

from ._checks import check_codes
from ._components import PrincipalComponents
from ._covariance import with_more_spread
from ._known_scores import KnownScores
from ._mahalanobis import Mahalanobis
from ._novelty import Energy
from ._softmax_regression import SoftmaxRegression
from ._with_neighbors import with_neighbors

N_COMPONENTS = 50

_SHRINKAGE = 0.1
_HIGH = 0.9
"""Quantile of known cells that lies one unit above their median."""

_LEAK = 0.05
"""What a part counts for below the median of known cells, so that it can hardly make up for the other."""

_UNITS = ("middle", "spread", "known", "together")
"""What depends on the known cells."""

_LARGEST = 1e6
_TINY = 1e-9


class Judged(NamedTuple):
    """Of n cells.

    Attributes
    ----------
    scores
        (n,) float32, higher is more novel.
    places
        (n, k) float32 coordinates, in which the spread within classes is 1 in every direction.
    groups
        (n,) class that each is most like.
    """

    scores: np.ndarray
    places: np.ndarray
    groups: np.ndarray


@dataclass(frozen=True, eq=False)
class ExpressionNovelty:
    """A cell is novel that is far from every class, or that no class claims.

    A network forgets what its classes do not need, and with it what would tell a new class apart. So this reads
    expression itself, as coordinates on principal components. It adds up two parts, each in units of its spread over
    known cells, from their median on: the logarithm of the squared Mahalanobis distance to the nearest class mean,
    and the energy of a logistic regression. The first finds what lies outside, the second what lies between.

    Parameters
    ----------
    components
        Of the training cells.
    distance
        To class means.
    regression
        Of the classes.
    middle, spread
        (2,) median of each part over known cells, and how far its upper decile lies above.
    known
        Scores of known cells.
    together
        The same with a say of their nearest cells (:func:`with_neighbors`); None of models of before there was this.
    """

    components: PrincipalComponents
    distance: Mahalanobis
    regression: SoftmaxRegression
    middle: np.ndarray
    spread: np.ndarray
    known: KnownScores
    together: KnownScores | None = None

    @classmethod
    def fit(
        cls,
        rows: sparse.csr_matrix,
        codes: np.ndarray,
        known: Iterable[sparse.csr_matrix],
        *,
        n_components: int = N_COMPONENTS,
        random_state: int | None = 0,
    ) -> Self:
        """Learn classes from training cells, and what is usual from others.

        Parameters
        ----------
        rows
            (n, p) log-normalised expression of training cells.
        codes
            (n,) class of each, at least 0.
        known
            Blocks (m, p) of known cells that were not trained on; one cell at least.
        n_components
            Components, at most.
        random_state
            Seed of the decomposition.
        """
        present, own = np.unique(check_codes(codes, rows.shape[0]), return_inverse=True)
        components = PrincipalComponents.fit(rows, n_components, random_state)
        where = components.project(rows)
        distance = Mahalanobis.fit(where, own, relative=False, shrinkage=_SHRINKAGE)
        regression = SoftmaxRegression.fit(where, own)
        draft = cls(components, distance, regression, np.zeros(2), np.ones(2), KnownScores(np.zeros(1), 1))
        return draft.calibrated(known)

    def score(self, rows: sparse.csr_matrix) -> np.ndarray:
        """(n,) float32 of log-normalised rows (n, p); higher is more novel. A cell of zeros is as novel as can be."""
        return self.judge(rows).scores

    def judge(self, rows: sparse.csr_matrix) -> Judged:
        """Scores, and what :func:`with_neighbors` takes beside them."""
        parts, where = self._parts(rows)
        scores = self._joined(parts)
        scores[rows.getnnz(1) == 0] = _LARGEST
        return self._judged(scores, where)

    def without(self, missing: np.ndarray) -> Self:
        """The same for cells of which some genes (p,) were not measured; they are zero in what is scored."""
        if not missing.any():
            return self
        components, gained = self.components.without(np.asarray(missing, dtype=bool))
        wider = with_more_spread(self.distance.whitening, gained)
        return replace(self, components=components, distance=replace(self.distance, whitening=wider))

    def calibrated(self, known: Iterable[sparse.csr_matrix]) -> Self:
        """The same with units and scores of other known cells, blocks (m, p): of what :meth:`without` leaves, say."""
        found = [self._parts(block) for block in known]
        parts, where = (np.concatenate(each) for each in zip(*found, strict=True))
        middle = np.median(parts, axis=0)
        spread = np.quantile(parts, _HIGH, axis=0) - middle
        draft = replace(self, middle=middle, spread=np.where(spread > _TINY, spread, 1.0))
        scores = draft._joined(parts)
        together = KnownScores.fit(with_neighbors(*draft._judged(scores, where)))
        return replace(draft, known=KnownScores.fit(scores), together=together)

    def with_units_of(self, other: Self) -> Self:
        """The same with the units and the known scores of another."""
        return replace(self, **{name: getattr(other, name) for name in _UNITS})

    def units_to_arrays(self) -> dict[str, np.ndarray]:
        """Of :meth:`to_arrays` what :meth:`with_units` takes."""
        return {name: array for name, array in self.to_arrays().items() if name.split(".")[0] in _UNITS}

    def with_units(self, stored: Mapping[str, np.ndarray]) -> Self:
        """The same with units and known scores that :meth:`units_to_arrays` gave."""
        known, together = (_known_scores(_of(name, stored)) for name in ("known", "together"))
        if known is None:
            raise ValueError("The scores of known cells are missing.")
        return replace(self, middle=stored["middle"], spread=stored["spread"], known=known, together=together)

    def _parts(self, rows: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
        """(n, 2) of rows (n, p), and their coordinates."""
        where = self.components.project(rows)
        far = np.log(self.distance.score(where).astype(np.float64) + _TINY)
        return np.stack([far, Energy().score(self.regression.logits(where))], axis=1), where

    def _judged(self, scores: np.ndarray, where: np.ndarray) -> Judged:
        places = (where @ self.distance.whitening).astype(np.float32)
        return Judged(scores, places, self.regression.logits(where).argmax(1))

    def _joined(self, parts: np.ndarray) -> np.ndarray:
        """(n,) float32 of parts (n, 2)."""
        units = (parts - self.middle) / self.spread
        return np.clip(np.where(units > 0, units, _LEAK * units).sum(1), -_LARGEST, _LARGEST).astype(np.float32)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What to store, by name."""
        names = ("components", "distance", "regression", "known", "together")
        parts = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        arrays = {
            f"{part}.{name}": np.asarray(value)
            for part, each in parts.items()
            for name, value in vars(each).items()
            if value is not None
        }
        return arrays | {"middle": self.middle, "spread": self.spread}

    @classmethod
    def from_arrays(cls, stored: Mapping[str, np.ndarray]) -> Self:
        """The inverse of :meth:`to_arrays`."""
        components = _of("components", stored)
        length = float(components.pop("length"))
        draft = cls(
            PrincipalComponents(**components, length=length),
            Mahalanobis(**_of("distance", stored)),
            SoftmaxRegression(**_of("regression", stored)),
            np.zeros(2),
            np.ones(2),
            KnownScores(np.zeros(1), 1),
        )
        return draft.with_units(stored)


def _of(part: str, stored: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.removeprefix(f"{part}."): value for name, value in stored.items() if name.startswith(f"{part}.")}


def _known_scores(stored: Mapping[str, np.ndarray]) -> KnownScores | None:
    return KnownScores(stored["scores"], int(stored["n_cells"])) if stored else None
