"""How unlike the reference annotated cells are, and which of them to call unknown for it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sims_tools._log import logger
from sims_tools.confidence._checks import check_open_share
from sims_tools.data._blocks import iter_blocks
from sims_tools.data._kind import resolve_kind
from sims_tools.data._moments import log_cp10k

if TYPE_CHECKING:
    from anndata import AnnData

    from sims_tools.data._align import GeneMatch
    from sims_tools.models import ClassifierModel

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


def check_reject(model: ClassifierModel, reject: float | None) -> None:
    """Raise where cells cannot be rejected as asked.

    Parameters
    ----------
    model
        The trained model.
    reject
        Share of known cells that may be rejected; None rejects none.
    """
    if reject is None:
        return
    check_open_share("reject", reject)
    if model.confidence_.novelty is None:
        why = (
            "was trained without validation cells" if model.confidence_.conformal is None else "is of an older version"
        )
        raise ValueError(
            f"The model {why}, so it does not know how unlike the reference a known cell may be; `reject` takes a "
            "model that is trained with `validation_size` above 0."
        )


def find_novel(
    adata: AnnData,
    model: ClassifierModel,
    match: GeneMatch,
    reject: float,
    *,
    layer: str | None,
    input_kind: str,
    batch_size: int,
) -> Novelty:
    """Compare cells with the reference, block by block, by the genes that are there.

    Parameters
    ----------
    adata
        The query; it is only read.
    model
        Has novelty.
    match
        Genes of the query on the model's.
    reject
        Share of known cells that may be rejected.
    layer, input_kind, batch_size
        As :func:`annotate` takes them.

    Warns
    -----
    UserWarning
        There are too few validation cells to reject any, or genes with most of the expression are missing.
    """
    novelty = model.confidence_.novelty
    if novelty is None:
        raise ValueError("The model has no novelty.")
    _warn(novelty.known.n_cells, novelty.known.needed(reject), reject)
    _warn_of_missing(novelty.components.squares, match.found)
    scorer = novelty.without(~match.found)
    with _no_repetition():
        kind = resolve_kind(adata, layer, input_kind)
    shares, rejected = np.full(adata.n_obs, np.nan, np.float32), np.zeros(adata.n_obs, bool)
    for start, block in iter_blocks(adata, layer, batch_size):
        linear, totals = kind.to_linear(block)
        scores = scorer.score(log_cp10k(match.select(linear), totals))
        cells, filled = slice(start, start + len(scores)), totals > 0
        shares[cells] = np.where(filled, novelty.known.share_below(scores), np.nan)
        rejected[cells] = filled & novelty.known.beyond(scores, reject)
    return Novelty(shares, rejected)


def _warn(n_cells: int, needed: int, reject: float) -> None:
    if n_cells < needed:
        warnings.warn(
            f"The model has {n_cells} validation cells; `reject={reject:g}` takes {needed}, so no cell is rejected. "
            "Train with more cells or a larger `validation_size`, or reject more.",
            UserWarning,
            stacklevel=4,
        )


def _warn_of_missing(squares: np.ndarray, found: np.ndarray) -> None:
    share = float(squares[found].sum() / max(float(squares.sum()), np.finfo(np.float32).tiny))
    if share < ENOUGH_EXPRESSION:
        warnings.warn(
            f"The query has {int(found.sum())} of the model's {len(found)} genes, {share:.0%} of the expression that "
            "novelty is read from: more known cells may be rejected than asked for, and novel ones be missed.",
            UserWarning,
            stacklevel=4,
        )


@contextmanager
def _no_repetition() -> Iterator[None]:
    """What the values were taken for was said when they were first read."""
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
