"""How unlike the reference annotated cells are, and which of them to call unknown for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sims_tools._log import warn_user
from sims_tools._validate import check_choice, check_open_share
from sims_tools.confidence._expression import Judged
from sims_tools.confidence._with_neighbors import with_neighbors
from sims_tools.data._features import SEEN_OF
from sims_tools.data._moments import log_cp10k
from sims_tools.models._inference import seen_modalities

if TYPE_CHECKING:
    from sims_tools.confidence import ExpressionNovelty
    from sims_tools.data._align import GeneMatch
    from sims_tools.data._query import Query
    from sims_tools.models import ClassifierModel

CELL, NEIGHBORS = "cell", "neighbors"
REJECT_BY = (CELL, NEIGHBORS)

ENOUGH_EXPRESSION = 0.5
"""Share of the expression that novelty reads below which a query is scored with a warning."""


class Novelty(NamedTuple):
    """Of n cells.

    Attributes
    ----------
    shares
        (n,) float32: share of known cells that are less unlike the reference; NaN for a cell without counts.
    rejected
        (n,) bool.
    """

    shares: np.ndarray
    rejected: np.ndarray


def check_reject(model: ClassifierModel, reject: float | None, reject_by: str) -> None:
    """Raise where cells cannot be rejected as asked.

    Parameters
    ----------
    model
        The trained model.
    reject
        Share of known cells that may be rejected; None rejects none.
    reject_by
        "cell" or "neighbors".

    Warns
    -----
    UserWarning
        There are too few validation cells to reject any.
    """
    check_choice("reject_by", reject_by, REJECT_BY)
    if reject is None:
        return
    check_open_share("reject", reject)
    novelty = model.confidence_.novelty
    if novelty is None:
        why = (
            "was trained without validation cells" if model.confidence_.conformal is None else "is of an older version"
        )
        raise ValueError(
            f"The model {why}, so it does not know how unlike the reference a known cell may be; `reject` takes a "
            "model that is trained with `validation_size` above 0."
        )
    if reject_by == NEIGHBORS and novelty.together is None:
        raise ValueError(
            "The model is of an older version, which does not know how cells score with their neighbors; use "
            "`reject_by='cell'` or train it again."
        )
    _warn(novelty.known.n_cells, novelty.known.needed(reject), reject)


def warn_of_missing(model: ClassifierModel, match: GeneMatch) -> None:
    """Warn where genes with most of the expression that novelty is read from are missing."""
    novelty = model.confidence_.novelty
    if novelty is not None:
        have = np.isin(model.modality, np.unique(model.modality[match.found]))
        _warn_of_missing(novelty.components.squares[have], match.found[have])


def find_novel(
    query: Query, model: ClassifierModel, reject: float, *, batch_size: int, reject_by: str = CELL
) -> Novelty:
    """Compare cells with the reference, block by block, by the features that are there.

    Parameters
    ----------
    query
        The cells; they are only read.
    model
        Has novelty.
    reject
        Share of known cells that may be rejected.
    batch_size
        Cells at a time.
    reject_by
        "cell" for each by itself, "neighbors" to give its nearest of the query a say.
    """
    novelty = model.confidence_.novelty
    if novelty is None:
        raise ValueError("The model has no novelty.")
    shares, rejected = np.full(query.n_obs, np.nan, np.float32), np.zeros(query.n_obs, bool)
    for scorer, cells, judged in _judged(query, model, batch_size, with_places=reject_by == NEIGHBORS):
        known, scores = scorer.known, judged.scores
        if reject_by == NEIGHBORS and scorer.together is not None:
            known, scores = scorer.together, with_neighbors(*judged)
        shares[cells] = known.share_below(scores)
        rejected[cells] = known.beyond(scores, reject)
    return Novelty(shares, rejected)


def _judged(
    query: Query, model: ClassifierModel, batch_size: int, *, with_places: bool
) -> Iterator[tuple[ExpressionNovelty, np.ndarray, Judged]]:
    """Cells of which the same is seen: what judges them, their rows, and what it says; places only where wanted."""
    found, n_proteins = query.match.found, len(model.proteins_)
    scorers: dict[int, ExpressionNovelty] = {}
    held: dict[int, list[tuple[np.ndarray, ...]]] = {}
    for start, linear, totals in query.blocks(batch_size):
        seen = seen_modalities(linear, totals, n_proteins)
        for code in np.unique(seen[totals > 0]).tolist():
            if code not in scorers:
                scorers[code] = _scorer(model, code, found)
            cells = np.flatnonzero((seen == code) & (totals > 0))
            judged = scorers[code].judge(log_cp10k(linear[cells], totals[cells]))
            places = judged.places if with_places else judged.places[:, :0]
            held.setdefault(code, []).append((start + cells, *judged._replace(places=places)))
    for code, parts in held.items():
        cells, *judged_all = (np.concatenate(each) for each in zip(*parts, strict=True))
        yield scorers[code], cells, Judged(*judged_all)


def _scorer(model: ClassifierModel, seen: int, found: np.ndarray) -> ExpressionNovelty:
    """Novelty of cells of which one modality is seen, or both, by the features (p,) that were found."""
    confidence = model.confidence_.of(seen)
    novelty = confidence.novelty or model.confidence_.novelty
    if novelty is None:
        raise ValueError("The model has no novelty.")
    roles = [role for role, code in SEEN_OF.items() if code & seen]
    return novelty.without(~found | ~np.isin(model.modality, roles) if model.proteins_ else ~found)


def _warn(n_cells: int, needed: int, reject: float) -> None:
    if n_cells < needed:
        warn_user(
            f"The model has {n_cells} validation cells; `reject={reject:g}` takes {needed}, so no cell is rejected. "
            "Train with more cells or a larger `validation_size`, or reject more.",
        )


def _warn_of_missing(squares: np.ndarray, found: np.ndarray) -> None:
    share = float(squares[found].sum() / max(float(squares.sum()), np.finfo(np.float32).tiny))
    if share < ENOUGH_EXPRESSION:
        warn_user(
            f"The query has {int(found.sum())} of the model's {len(found)} genes, {share:.0%} of the expression that "
            "novelty is read from: more known cells may be rejected than asked for, and novel ones be missed.",
        )
