"""The labelled cells a model learns from: a shadow of the user's object that shares its counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from mudata import MuData
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import listing

from ._align import check_unique
from ._blocks import iter_blocks, sample_rows
from ._dataset import CellDataset
from ._features import PROTEIN, RNA
from ._kind import InputKind, resolve_kind
from ._labels import Labels, check_classes, encode_labels, of_one_class, spelt_alike
from ._linear import linear_matrix
from ._matrix import check_matrix
from ._obs_columns import obs_column
from ._parts import Part, read_parts, spread_rows
from ._proteins import check_proteins, kept_proteins

SHADOW_LABELS, SHADOW_TOTALS, SHADOW_PROTEINS, SHADOW_PROTEIN_NAMES = (
    "labels", "total_counts", "proteins", "protein_names",
)  # fmt: skip

_MISSING_AS_TEXT = ("nan", "NaN", "None", "NA", "<NA>")


@dataclass(frozen=True)
class Proteins:
    """Protein counts of the cells of a reference, those that are left out not among them.

    Attributes
    ----------
    counts
        (n_obs, n_proteins) CSR, float32.
    names
        (n_proteins,).
    """

    counts: sparse.csr_matrix
    names: np.ndarray


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
    proteins
        Their proteins, or None.
    read_from
        Modalities, or entry of `.obsm`, where the user's object has proteins.
    """

    matrix: sparse.csr_matrix
    totals: np.ndarray
    labels: Labels
    obs_names: pd.Index
    var_names: pd.Index
    kind: InputKind
    proteins: Proteins | None = None
    read_from: Mapping[str, Any] = field(default_factory=dict)

    def panels(self, names: pd.Index) -> None:
        """None: every gene was measured in all cells."""

    def measured_counts(self, rows: np.ndarray) -> None:
        """None: every gene was measured in all cells."""

    def linear_blocks(self, rows: np.ndarray, size: int = 4096) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Linear values (n, n_genes) and totals (n,) of some cells, block by block."""
        cells = CellDataset(self.matrix, self.labels.codes, InputKind("linear"), self.totals, rows)
        return cells.linear_blocks(rows, size)

    def take_genes(self, columns: np.ndarray) -> Self:
        """The same cells with some of the genes; totals stay those of all genes."""
        if np.array_equal(columns, np.arange(len(self.var_names))):
            return self
        return replace(self, matrix=self.matrix[:, columns], var_names=self.var_names[columns])

    def shadow(self, unlabeled_category: str) -> AnnData:
        """An AnnData that scvi-tools may register and write to, with the matrix shared."""
        names = np.append(self.labels.classes, unlabeled_category)
        labels = pd.Categorical(names[self.labels.codes], categories=list(names))
        obs = pd.DataFrame({SHADOW_LABELS: labels, SHADOW_TOTALS: self.totals}, index=self.obs_names)
        shadow = AnnData(X=self.matrix, obs=obs, var=pd.DataFrame(index=self.var_names))
        if self.proteins is not None:
            shadow.obsm[SHADOW_PROTEINS] = self.proteins.counts
            shadow.uns[SHADOW_PROTEIN_NAMES] = self.proteins.names
        return shadow


def read_reference(
    adata: AnnData | MuData,
    labels_key: str,
    *,
    layer: str | None = None,
    unlabeled_category: str = "Unknown",
    input_kind: str = "auto",
    modalities: Mapping[str, str] | None = None,
    protein_layer: str | None = None,
    protein_obsm_key: str | None = None,
    protein_transform: str = "clr",
    exclude_proteins: str | Iterable[str] = (),
) -> Reference:
    """Check the user's object and read from it what training needs; it is not written to.

    Raises
    ------
    KeyError
        `labels_key`, `layer`, a modality or an entry of `.obsm` does not exist.
    ValueError
        No cells or genes, repeated gene names, fewer than two classes, values that are not expression.
    """
    if isinstance(adata, AnnData):
        check_matrix(adata, layer)
    parts = read_parts(
        adata,
        modalities=modalities,
        layer=layer,
        protein_layer=protein_layer,
        protein_obsm_key=protein_obsm_key,
    )
    rna, protein = parts.parts.get(RNA), parts.parts.get(PROTEIN)
    if rna is None:
        raise ValueError(
            'A reference needs genes: name their modality with `modalities={"rna": ...}`. For proteins alone, train on '
            "the AnnData that holds them; they are normalised as genes are then."
        )
    labels = encode_labels(obs_column(adata, labels_key, "labels_key"), unlabeled_category)
    check_unique(rna.adata.var_names)
    check_classes(labels, labels_key)
    proteins = None if protein is None else _read_proteins(protein, protein_transform, exclude_proteins)
    kind = resolve_kind(rna.adata, layer, input_kind)
    matrix, totals = linear_matrix(rna.adata, layer, kind)
    if rna.rows is not None:
        matrix, totals = spread_rows(matrix, rna.rows), np.where(rna.rows >= 0, totals[rna.rows], 0.0)
    labels = of_cells_with_counts(labels, totals, proteins)
    check_classes(labels, labels_key)
    read_from = {"modalities": dict(parts.names)} if parts.names else {"protein_obsm_key": protein_obsm_key}
    return Reference(
        matrix, totals, labels, parts.obs_names.copy(), rna.adata.var_names.copy(), kind, proteins,
        {} if proteins is None else read_from,
    )  # fmt: skip


def read_unlabelled(adata: AnnData, layer: str | None = None, input_kind: str = "auto") -> Reference:
    """The same without labels: cells that have counts are of one class, the others of none.

    Raises
    ------
    KeyError
        `layer` does not exist.
    ValueError
        No cells or genes, repeated gene names, values that are not expression, fewer than two cells with counts.
    """
    check_matrix(adata, layer)
    check_unique(adata.var_names)
    kind = resolve_kind(adata, layer, input_kind)
    matrix, totals = linear_matrix(adata, layer, kind)
    return Reference(matrix, totals, of_one_class(totals), adata.obs_names.copy(), adata.var_names.copy(), kind)


def of_cells_with_counts(labels: Labels, totals: np.ndarray, proteins: Proteins | None = None) -> Labels:
    """The labels of cells that have any; the others lose theirs."""
    silent = totals <= 0 if proteins is None else (totals <= 0) & (np.diff(proteins.counts.indptr) == 0)
    empty = np.flatnonzero(silent & (labels.codes >= 0))
    if not empty.size:
        return labels
    logger.warning("%d labelled cells have no counts at all and are left out of training.", empty.size)
    return labels.without(empty)


def _read_proteins(part: Part, transform: str, exclude: str | Iterable[str]) -> Proteins:
    """Protein counts of all cells of the object."""
    names = part.adata.var_names
    if not names.is_unique:
        raise ValueError(f"Names of proteins in {part.place} are not unique; run `var_names_make_unique()` on them.")
    kept = np.flatnonzero(kept_proteins(names, exclude))
    check_proteins(sample_rows(part.adata, part.layer)[:, kept], transform, part.place)
    counts = sparse.vstack([block[:, kept] for _, block in iter_blocks(part.adata, part.layer)], format="csr")
    counts.eliminate_zeros()
    return Proteins(
        counts if part.rows is None else spread_rows(counts, part.rows), np.asarray(names[kept].astype(str))
    )


def report_classes(labels: Labels, labels_key: str) -> None:
    """Tell what may surprise: cells without a label, classes of one cell, heavy imbalance."""
    counts = labels.counts
    n_unlabelled = int((labels.codes < 0).sum())
    if n_unlabelled:
        logger.info("%d of %d cells carry no label and are left out of the loss.", n_unlabelled, len(labels.codes))
    for name in labels.classes[np.isin(labels.classes.astype(str), _MISSING_AS_TEXT)]:
        logger.warning("Class %r looks like missing labels: if so, pass `unlabeled_category=%r`.", name, name)
    for names in spelt_alike(labels.classes):
        logger.warning("Classes %s differ in case or white space only: are they one?", listing(names))
    single = labels.classes[counts == 1]
    if single.size:
        logger.warning("Classes of one cell train but cannot be validated: %s.", ", ".join(map(str, single)))
    if counts.max() >= 100 * counts.min():
        largest, smallest = labels.classes[counts.argmax()], labels.classes[counts.argmin()]
        logger.warning(
            "`adata.obs[%r]` is heavily imbalanced: %d cells of %r, %d of %r. See macro F1, not accuracy alone.",
            labels_key, counts.max(), largest, counts.min(), smallest,
        )  # fmt: skip
