"""The labelled cells a model learns from: a shadow of the user's object that shares its counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import check_obs_key

from ._align import check_unique
from ._dataset import CellDataset
from ._kind import InputKind, resolve_kind
from ._labels import Labels, check_classes, encode_labels
from ._linear import linear_matrix
from ._matrix import check_matrix

SHADOW_LABELS, SHADOW_TOTALS = "labels", "total_counts"

_MISSING_AS_TEXT = ("nan", "NaN", "None", "NA", "<NA>")


@dataclass(frozen=True)
class Reference:
    """Cells, genes and labels to train on; nothing here belongs to the user's object but shared memory.

    Attributes
    ----------
    matrix
        (n_obs, n_genes) CSR on a linear scale with rising columns, of any numeric type; it shares memory with the
        user's where that is CSR counts.
    totals
        (n_obs,) float64 total of each cell over all genes of the object.
    labels
        Clean labels; cells without counts are unlabelled.
    obs_names, var_names
        Names of the cells and genes.
    kind
        What the stored values were.
    """

    matrix: sparse.csr_matrix
    totals: np.ndarray
    labels: Labels
    obs_names: pd.Index
    var_names: pd.Index
    kind: InputKind

    def linear_blocks(self, rows: np.ndarray, size: int = 4096) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Linear values (n, n_genes) and totals (n,) of some cells, block by block."""
        cells = CellDataset(self.matrix, self.labels.codes, InputKind("linear"), self.totals, rows)
        return cells.linear_blocks(rows, size)

    def take_genes(self, columns: np.ndarray) -> Reference:
        """The same cells with some of the genes; totals stay those of all genes."""
        if np.array_equal(columns, np.arange(len(self.var_names))):
            return self
        return replace(self, matrix=self.matrix[:, columns], var_names=self.var_names[columns])

    def shadow(self, unlabeled_category: str) -> AnnData:
        """An AnnData that scvi-tools may register and write to, with the matrix shared."""
        names = np.append(self.labels.classes, unlabeled_category)
        labels = pd.Categorical(names[self.labels.codes], categories=list(names))
        obs = pd.DataFrame({SHADOW_LABELS: labels, SHADOW_TOTALS: self.totals}, index=self.obs_names)
        return AnnData(X=self.matrix, obs=obs, var=pd.DataFrame(index=self.var_names))


def read_reference(
    adata: AnnData,
    labels_key: str,
    *,
    layer: str | None = None,
    unlabeled_category: str = "Unknown",
    input_kind: str = "auto",
) -> Reference:
    """Check the user's object and read from it what training needs; it is not written to.

    Raises
    ------
    KeyError
        `labels_key` or `layer` does not exist.
    ValueError
        No cells or genes, repeated gene names, fewer than two classes, values that are not expression.
    """
    check_matrix(adata, layer)
    check_obs_key(adata, labels_key, "labels_key")
    check_unique(adata.var_names)
    column = adata.obs[labels_key]
    if isinstance(column, pd.DataFrame):
        raise ValueError(f"`adata.obs` has {column.shape[1]} columns named {labels_key!r}; rename or drop all but one.")
    labels = encode_labels(column, unlabeled_category)
    check_classes(labels, labels_key)
    kind = resolve_kind(adata, layer, input_kind)
    matrix, totals = linear_matrix(adata, layer, kind)
    empty = np.flatnonzero((totals <= 0) & (labels.codes >= 0))
    if empty.size:
        logger.warning("%d labelled cells have no counts at all and are left out of training.", empty.size)
        labels = labels.without(empty)
        check_classes(labels, labels_key)
    return Reference(matrix, totals, labels, adata.obs_names.copy(), adata.var_names.copy(), kind)


def report_classes(labels: Labels, labels_key: str) -> None:
    """Tell what may surprise: cells without a label, classes of one cell, heavy imbalance."""
    counts = labels.counts
    n_unlabelled = int((labels.codes < 0).sum())
    if n_unlabelled:
        logger.info("%d of %d cells carry no label and are left out of the loss.", n_unlabelled, len(labels.codes))
    for name in labels.classes[np.isin(labels.classes.astype(str), _MISSING_AS_TEXT)]:
        logger.warning("Class %r looks like missing labels: if so, pass `unlabeled_category=%r`.", name, name)
    single = labels.classes[counts == 1]
    if single.size:
        logger.warning("Classes of one cell train but cannot be validated: %s.", ", ".join(map(str, single)))
    if counts.max() >= 100 * counts.min():
        largest, smallest = labels.classes[counts.argmax()], labels.classes[counts.argmin()]
        logger.warning(
            "`adata.obs[%r]` is heavily imbalanced: %d cells of %r, %d of %r. See macro F1, not accuracy alone.",
            labels_key, counts.max(), largest, counts.min(), smallest,
        )  # fmt: skip
