"""What a model reads of a cell: genes first, then proteins, each known by modality and name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from ._kind import TARGET_SUM

RNA, PROTEIN = "rna", "protein"
ROLES = (RNA, PROTEIN)
"""Modalities that a model can read."""

SEEN_RNA, SEEN_PROTEIN = 1, 2
SEEN_BOTH = SEEN_RNA | SEEN_PROTEIN
SEEN_OF = {RNA: SEEN_RNA, PROTEIN: SEEN_PROTEIN}
"""What is seen of a cell of which one modality was measured."""

_MARK = f"{PROTEIN}:"


def feature_names(genes: Sequence[str], proteins: Sequence[str]) -> list[str]:
    """One list of names that tells the gene CD4 from the protein, which is "protein:CD4".

    Raises
    ------
    ValueError
        A gene has the name that a protein is given.
    """
    names = [*map(str, genes), *(f"{_MARK}{name}" for name in proteins)]
    if len(set(names)) < len(names):
        again = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"Genes and proteins share the names {again[:5]}; rename the genes that begin with {_MARK!r}.")
    return names


def without_mark(name: str) -> str:
    """A feature as its modality names it."""
    return name.removeprefix(_MARK)


def modality_of(n_genes: int, n_proteins: int) -> np.ndarray:
    """(n_features,) modality of each feature."""
    return np.repeat(np.array(ROLES), [n_genes, n_proteins])


def only(linear: sparse.csr_matrix, seen: int, n_proteins: int) -> tuple[sparse.csr_matrix, np.ndarray]:
    """Cells as they would be if nothing but one modality had been measured.

    Parameters
    ----------
    linear
        (n, n_features) linear values of a model with proteins.
    seen
        `SEEN_RNA` or `SEEN_PROTEIN`.
    n_proteins
        Of the features, the last ones.

    Returns
    -------
    Linear values (n, n_features) and totals (n,), 0 for a cell of which nothing is left.
    """
    of_proteins = linear.indices >= linear.shape[1] - n_proteins
    kept = of_proteins if seen == SEEN_PROTEIN else ~of_proteins
    ends = np.concatenate([[0], np.cumsum(kept)])[linear.indptr]
    left = sparse.csr_matrix((linear.data[kept], linear.indices[kept], ends), shape=linear.shape)
    left.has_canonical_format = True
    return left, np.where(np.diff(ends) > 0, TARGET_SUM, 0.0)
