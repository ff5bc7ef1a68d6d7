"""What can happen to a query: genes that were not measured, fewer counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from .cells import COUNTS, Cells

RANDOM, TRANSFER, MISSING, THINNED = TASKS = ("random", "transfer", "missing", "thinned")
LEVELS = {RANDOM: (None,), TRANSFER: (None,), MISSING: (0.1, 0.3, 0.5), THINNED: (0.5, 0.2)}
"""Share of the genes that are missing, share of the counts that are left."""


def missing_genes(cells: Cells, share: float, rng: np.random.Generator) -> Cells:
    """The cells without so many of their genes, drawn at random."""
    n_kept = len(cells.genes) - round(len(cells.genes) * share)
    return cells.only(np.sort(rng.permutation(len(cells.genes))[:n_kept]))


def thinned(cells: Cells, share: float, rng: np.random.Generator) -> Cells:
    """The cells with each of their counts kept with this probability."""
    if cells.kind != COUNTS:
        raise ValueError(f"Only counts can be thinned; these values are {cells.kind!r}.")
    matrix = cells.matrix.copy()
    matrix.data = rng.binomial(matrix.data.astype(np.int64), share).astype(matrix.dtype)
    matrix.eliminate_zeros()
    return replace(cells, matrix=matrix)


PERTURBATIONS: dict[str, Callable[[Cells, float, np.random.Generator], Cells]] = {
    MISSING: missing_genes,
    THINNED: thinned,
}


def query_for(task: str, level: float | None, cells: Cells, seed: int) -> Cells:
    """The query of a task; the same for every method, whatever else is asked for."""
    if level is None:
        return cells
    return PERTURBATIONS[task](cells, level, np.random.default_rng([seed, round(100 * level)]))
