"""The cells of a study: read once, shared by every fold, never written to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from sims_tools._log import logger
from sims_tools.data._align import check_unique
from sims_tools.data._blocks import iter_blocks, sample_rows
from sims_tools.data._class_sums import with_classes
from sims_tools.data._dataset import CellDataset
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._free_memory import STREAM_ABOVE, fits_in_memory
from sims_tools.data._gene_choice import GeneChoice, choose_genes
from sims_tools.data._kind import InputKind, resolve_kind
from sims_tools.data._labels import Labels, check_classes, encode_labels
from sims_tools.data._matrix import canonical, check_matrix
from sims_tools.data._moments import log_cp10k
from sims_tools.data._obs_columns import obs_column
from sims_tools.data._parts import Part, read_parts, spread_rows

if TYPE_CHECKING:
    from mudata import MuData

_VALUE = 8
"""Bytes of a value and its column."""

LABELS, PROTEINS = "labels", "proteins"
"""Column of `.obs` and entry of `.obsm` of the objects that models are trained on."""


@dataclass(frozen=True)
class StudyCells:
    """Everything a fold may need; folds are rows of it, and no fold copies the counts.

    Attributes
    ----------
    matrix
        (n_obs, n_genes) CSR as it is stored, in the user's memory where that holds CSR.
    totals
        (n_obs,) totals on the linear scale.
    genes
        (n_genes,) names.
    labels
        Labels; -1 for cells that take no part.
    kind
        What the values are.
    input_kind
        What the user said they are.
    proteins
        (n_obs, n_proteins) counts, or None.
    columns
        (n_obs, ...) further columns of `.obs` that training asks for.
    """

    matrix: sparse.csr_matrix
    totals: np.ndarray
    genes: np.ndarray
    labels: Labels
    kind: InputKind
    input_kind: str
    proteins: pd.DataFrame | None
    columns: pd.DataFrame

    def adata(self, train: np.ndarray | None = None) -> AnnData:
        """An object that shares the matrix; only the cells of `train` (rows) have a label in it."""
        obs = self.columns.copy()
        codes = np.full(len(obs), -1)
        if train is not None:
            codes[train] = self.labels.codes[train]
        obs[LABELS] = pd.Categorical.from_codes(codes, list(self.labels.classes))
        shared = AnnData(X=self.matrix, obs=obs, var=pd.DataFrame(index=self.genes))
        if self.proteins is not None:
            shared.obsm[PROTEINS] = self.proteins.set_axis(shared.obs_names)
        return shared

    def blocks(self, rows: np.ndarray) -> Iterator[tuple[sparse.csr_matrix, np.ndarray]]:
        """Linear values (n, n_genes) and totals (n,) of some cells, block by block."""
        cells = CellDataset(self.matrix, self.labels.codes, self.kind, self.totals, rows)
        return cells.linear_blocks(rows)

    def log1p(self, rows: np.ndarray) -> sparse.csr_matrix:
        """(n, n_genes) log1p CP10K of some cells, float32 CSR; nothing in it depends on other cells."""
        return sparse.vstack([log_cp10k(*block) for block in self.blocks(rows)], format="csr")

    def most_variable(self, rows: np.ndarray, n_genes: int | None) -> np.ndarray | None:
        """Indices of the genes that vary most over some cells, as scanpy ranks them; None where all are taken."""
        codes, n_classes = self.labels.codes[rows], len(self.labels.classes)
        choice = GeneChoice("highly_variable", n_genes)
        found = choose_genes(choice, with_classes(self.blocks(rows), codes), n_classes, len(self.genes))
        return None if found is None else found[0]

    def names(self, rows: np.ndarray) -> np.ndarray:
        """(n,) label of some cells."""
        return self.labels.classes[self.labels.codes[rows]]


def read_cells(
    adata: AnnData | MuData,
    labels_key: str,
    *,
    layer: str | None,
    unlabeled_category: str,
    input_kind: str,
    columns: Sequence[str] = (),
    **where: Any,
) -> StudyCells:
    """Check the user's object and read what the runs of a study need.

    Parameters
    ----------
    adata
        Stored any way; it is only read.
    labels_key
        Column with the labels.
    layer, unlabeled_category, input_kind
        As :func:`~sims_tools.tl.cross_validate` takes them.
    columns
        Further columns of `.obs` to keep.
    **where
        `modalities`, `protein_layer` and `protein_obsm_key`.

    Raises
    ------
    KeyError
        A column, layer, modality or entry of `.obsm` does not exist.
    ValueError
        No cells or genes, repeated names of genes, fewer than two classes, or values that are not expression.
    """
    if isinstance(adata, AnnData):
        check_matrix(adata, layer)
    parts = read_parts(adata, layer=layer, **where)
    rna, protein = parts.parts.get(RNA), parts.parts.get(PROTEIN)
    if rna is None:
        raise ValueError('A study needs genes: name their modality with `modalities={"rna": ...}`.')
    labels = encode_labels(obs_column(adata, labels_key, "labels_key"), unlabeled_category)
    check_classes(labels, labels_key)
    check_unique(rna.adata.var_names)
    kept = pd.DataFrame({name: obs_column(adata, name, "split_by").to_numpy() for name in columns})
    kept.index = pd.RangeIndex(len(labels.codes)).astype(str)
    kind = resolve_kind(rna.adata, layer, input_kind)
    matrix, totals = _stored(rna, kind)
    proteins = None if protein is None else _proteins(protein)
    silent = (totals <= 0) if proteins is None else (totals <= 0) & ~proteins.to_numpy().any(1)
    if (empty := np.flatnonzero(silent & (labels.codes >= 0))).size:
        logger.warning("%d labelled cells have no counts at all and are left out.", empty.size)
        labels = labels.without(empty)
        check_classes(labels, labels_key)
    genes = rna.adata.var_names.to_numpy(dtype=object)
    return StudyCells(matrix, totals, genes, labels, kind, input_kind, proteins, kept)


def _stored(part: Part, kind: InputKind) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The stored values (n_obs, n_vars) as CSR, shared where they are, and the totals (n_obs,); all are checked."""
    adata, layer = part.adata, part.layer
    matrix: Any = None if adata.is_view else (adata.X if layer is None else adata.layers[layer])
    shared = sparse.issparse(matrix) and matrix.format == "csr"
    if not shared:
        _check_memory(adata, layer)
    blocks, sums = [], []
    for _, block in iter_blocks(adata, layer):
        sums.append(kind.to_linear(block)[1])
        if not shared:
            blocks.append(block)
    matrix, totals = canonical(matrix if shared else sparse.vstack(blocks, format="csr")), np.concatenate(sums)
    if part.rows is None:
        return matrix, totals
    return spread_rows(matrix, part.rows), np.where(part.rows >= 0, totals[part.rows], 0.0)


def _check_memory(adata: AnnData, layer: str | None) -> None:
    """Raise MemoryError where a matrix is too large to be made, as some of its rows tell."""
    sample = sample_rows(adata, layer)
    n_bytes = _VALUE * sample.nnz / sample.shape[0] * adata.n_obs
    if not fits_in_memory(n_bytes):
        raise MemoryError(
            f"A study trains many models on the same cells, and holds these in memory: about {n_bytes / 1e9:.1f} GB, "
            f"more than {STREAM_ABOVE:.0%} of what is free. Give a sample of the cells, `adata[rows].to_memory()`, or "
            "some of the genes."
        )


def _proteins(part: Part) -> pd.DataFrame:
    """Counts (n_obs, n_proteins) of every cell of the object, zero where a cell was not measured."""
    counts = sparse.vstack([block for _, block in iter_blocks(part.adata, part.layer)], format="csr")
    counts = counts if part.rows is None else spread_rows(counts, part.rows)
    return pd.DataFrame(counts.toarray(), columns=part.adata.var_names.astype(str))
