"""The lists of genes whose loss is compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import sparse

from sims_tools.data._gene_rankings import (
    Ranking,
    rank_by_weight,
    rank_differential,
    rank_logistic,
    rank_matched,
    rank_random,
)
from sims_tools.data._mask_stats import group_means
from sims_tools.tl._faithfulness import GeneList, Probe
from sims_tools.tl._mask_cells import MaskCells

AGAINST = ("logistic", "differential", "matched", "random")
"""What masks can be set against."""

_DRAWS = 3


def gene_lists(
    probe: Probe,
    cells: MaskCells,
    values: sparse.csr_matrix,
    tested: list[pd.DataFrame],
    against: Sequence[str],
    depth: int,
    rng: np.random.Generator,
) -> dict[str, list[GeneList]]:
    """For each ranking its genes, once for each repeat.

    Parameters
    ----------
    probe
        Finds places.
    cells
        The cells.
    values
        (n, n_features) log1p CP10K of the cells.
    tested
        Differential expression of each class.
    against
        Rankings to make beside those of the masks.
    depth
        Genes per list.
    rng
        Where chance comes from.
    """
    expressed = np.flatnonzero(np.bincount(values.indices, minlength=values.shape[1]))
    by_mask = rank_by_weight(cells.mask_means, np.flatnonzero(cells.match.found), depth)
    levels = group_means(values, cells.codes, len(cells.classes))
    rankings = {"masks": [by_mask]}
    if "logistic" in against:
        rankings["logistic"] = [rank_logistic(values, cells.codes, expressed, depth)]
    if "differential" in against:
        rankings["differential"] = [rank_differential(tested, expressed, depth)]
    if "matched" in against:
        rankings["matched"] = [rank_matched(by_mask, levels, expressed, rng) for _ in range(_DRAWS)]
    if "random" in against:
        rankings["random"] = [rank_random(len(cells.classes), expressed, depth, rng) for _ in range(_DRAWS)]
    lists = {
        name: [GeneList(probe.places_by_class(each), _n_most(each, by_mask)) for each in repeats]
        for name, repeats in rankings.items()
    }
    return {**lists, "cell_masks": [GeneList(probe.places_by_cell(cells.masks))]}


def _n_most(ranking: Ranking, by_mask: Ranking) -> int | None:
    """How many genes may be compared: as many as every class has in this ranking, or in its masks where those end."""
    own, wanted = ((each >= 0).sum(axis=1) for each in (ranking, by_mask))
    short = own[own < wanted]
    return int(short.min()) if short.size else None
