"""The cells that masks are examined on: few enough to run often, with their expression and masks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from numpy.typing import NDArray
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools._validate import listing
from sims_tools.confidence import restrict
from sims_tools.data._align import GeneMatch
from sims_tools.data._in_memory import uns_or_nothing
from sims_tools.data._labels import encode_labels
from sims_tools.data._mask_stats import StoredMasks, group_means
from sims_tools.data._obs_columns import obs_column
from sims_tools.models import ClassifierModel

FEWEST = 3
"""Cells that a class must have: neither a test nor a regression learns from fewer."""


@dataclass(frozen=True)
class MaskCells:
    """Some annotated cells, in memory, sharing nothing that could be written with the user's object.

    Attributes
    ----------
    rows
        (n,) their positions in the user's object.
    codes, classes
        (n,) group of each cell, and (n_classes,) the groups' names.
    targets
        (n_classes,) which class of the model each group is.
    allowed
        (n_model_classes,) bool, the classes that the annotation considered; None for all.
    counts, totals
        (n, n_features) on a linear scale, the model's features in its order, those the object lacks at zero; and (n,)
        what they are shares of.
    match
        The model's features in the object.
    masks
        (n, n_features).
    source
        The object and how it is read.
    """

    rows: NDArray[np.intp]
    codes: NDArray[np.intp]
    classes: NDArray[np.object_]
    targets: NDArray[np.intp]
    allowed: NDArray[np.bool_] | None
    counts: sparse.csr_matrix
    totals: NDArray[np.float64]
    match: GeneMatch
    masks: sparse.csr_matrix
    source: Mapping[str, Any]

    def read_by(self, model: ClassifierModel) -> tuple[sparse.csr_matrix, NDArray[np.float64]]:
        """Linear values (n, p) and totals (n,) of the cells as another model reads them."""
        return model.query(**self.source).read(self.rows)

    @property
    def mask_means(self) -> NDArray[np.float64]:
        """(n_classes, n_features): mean mask of each class."""
        return self.means_of(self.masks)

    def means_of(self, masks: sparse.csr_matrix) -> NDArray[np.float64]:
        """Mean of any masks (n, p) of these cells in each class, (n_classes, p)."""
        return group_means(masks, self.codes, len(self.classes))

    @property
    def sizes(self) -> NDArray[np.intp]:
        """(n_classes,) number of cells."""
        return np.bincount(self.codes, minlength=len(self.classes))


def choose_cells(
    adata: AnnData | MuData,
    model: ClassifierModel,
    stored: StoredMasks,
    labels_key: str | None,
    *,
    key: str,
    reading: Mapping[str, Any],
    max_cells: int,
    rng: np.random.Generator,
) -> MaskCells:
    """Read the cells to examine.

    Cells without a label, with a label that the model does not know, or without a mask are left out; so are classes
    of fewer than three cells among those that are drawn.

    Raises
    ------
    ValueError
        Fewer than two classes remain.
    """
    column = Keys(key).label if labels_key is None else labels_key
    labels = encode_labels(obs_column(adata, column, "key" if labels_key is None else "labels_key"), None)
    known = np.append(np.isin(labels.classes, model.classes), False)  # the last for cells without a label, coded -1
    labels = labels.without(np.flatnonzero(~known[labels.codes] | (stored.weights.n_stored() == 0)))
    drawn = _stratified(labels.codes, max_cells, rng)
    few = np.bincount(labels.codes[drawn], minlength=len(labels.classes)) < FEWEST
    drawn = drawn[~few[labels.codes[drawn]]]
    used, codes = np.unique(labels.codes[drawn], return_inverse=True)
    if len(used) < 2:
        raise ValueError(
            f"`adata.obs[{column!r}]` has {len(used)} class(es) of {FEWEST} or more cells with masks that the model "
            f"knows (it knows {listing(model.classes)}); two are needed. Is this the right column?"
        )
    source = {"adata": adata, **reading}
    query = model.query(**source)
    counts, totals = query.read(drawn)
    classes = labels.classes[used]
    return MaskCells(
        rows=drawn,
        codes=codes.astype(np.intp),
        classes=classes,
        targets=pd.Index(model.classes).get_indexer(classes).astype(np.intp),
        allowed=_allowed(uns_or_nothing(adata, Keys(key).uns).get("params", {}), model),
        counts=counts.copy(),
        totals=totals,
        match=query.match,
        masks=stored.weights.read(drawn),
        source=source,
    )


def _allowed(params: Any, model: ClassifierModel) -> NDArray[np.bool_] | None:
    """The classes an annotation was restricted to."""
    names = params.get("classes", "None")
    return None if isinstance(names, str) else restrict(model.classes, [str(name) for name in names])


def _stratified(codes: NDArray[np.int64], n_most: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions, rising, of at most `n_most` labelled cells: first a few of each class, then in proportion."""
    labelled = np.flatnonzero(codes >= 0)
    if labelled.size <= n_most:
        return labelled
    place, share = np.empty(labelled.size), np.empty(labelled.size)
    for code in np.unique(codes[labelled]):
        own = np.flatnonzero(codes[labelled] == code)
        place[own] = rng.permutation(own.size)
        share[own] = (place[own] + rng.random()) / own.size
    order = np.lexsort((share, np.where(place < FEWEST, place, FEWEST)))
    return np.sort(labelled[order[:n_most]])
