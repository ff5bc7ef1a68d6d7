"""Minibatches of RNA and protein of the same cells, brought to the scale a model reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch.utils.data import Dataset

from sims_tools._digest import digest
from sims_tools._validate import check_choice

from ._align import GeneMatch
from ._blocks import sample_rows
from ._clr import clr
from ._dataset import LABELS, PROTEINS, X, to_column
from ._features import PROTEIN, RNA
from ._kind import InputKind, check_values, classify, resolve_kind
from ._moments import log_cp10k
from ._paired import Paired, about
from ._rows import StoredRows

Form = Literal["counts", "scaled"]
"""Whether a model normalises a modality itself, or takes its values as they are."""

RNA_KINDS = ("auto", "counts", "log1p", "scaled")
PROTEIN_KINDS = ("auto", "counts", "scaled")

_INSTEAD = {
    "counts": "this model reads counts and normalises them itself; name their layer",
    "scaled": "this model reads values that were scaled before; scale these as the reference was, or name their layer",
}


@dataclass(frozen=True)
class PairedKinds:
    """What the values of both modalities are.

    Attributes
    ----------
    rna
        How to bring RNA to a linear scale; None takes values as they are.
    protein
        "counts", or "scaled" for values that are taken as they are.
    """

    rna: InputKind | None
    protein: Form

    @property
    def forms(self) -> dict[str, Form]:
        """What a model makes of each modality."""
        return {RNA: "scaled" if self.rna is None else "counts", PROTEIN: self.protein}


def read_kinds(pair: Paired, rna_kind: str = "auto", protein_kind: str = "auto") -> PairedKinds:
    """Detect what the values are, or take the user's word for it.

    RNA with negative values, and proteins that are not whole numbers or negative, are taken as they are.

    Parameters
    ----------
    pair
        The cells.
    rna_kind
        "auto", "counts", "log1p" or "scaled" (as they are).
    protein_kind
        "auto", "counts" or "scaled" (as they are).

    Raises
    ------
    ValueError
        Values are NaN or infinite, or negative where counts are expected, or a kind is unknown.
    """
    check_choice("rna_kind", rna_kind, RNA_KINDS)
    check_choice("protein_kind", protein_kind, PROTEIN_KINDS)
    rna: InputKind | None = None
    with about(RNA):
        if rna_kind != "scaled":
            found = classify(sample_rows(pair.rna, pair.rna_layer))
            if rna_kind != "auto" or found.scale != "scaled":
                rna = resolve_kind(pair.rna, pair.rna_layer, rna_kind)
    with about(PROTEIN):
        sample = sample_rows(pair.protein, pair.protein_layer)
        check_finite(sample.data)
        if protein_kind == "auto":
            protein_kind = "counts" if classify(sample).scale == "counts" else "scaled"
        elif protein_kind == "counts":
            check_values(sample)
    return PairedKinds(rna, "counts" if protein_kind == "counts" else "scaled")


def check_forms(found: PairedKinds, expected: dict[str, Form]) -> None:
    """Raise ValueError where values are of another form than those that a model was trained on."""
    for which, form in expected.items():
        if found.forms[which] != form:
            raise ValueError(
                f"{which}: the values look {'scaled or normalised' if form == 'counts' else 'like counts'}, but "
                f"{_INSTEAD[form]}."
            )


def check_finite(values: np.ndarray) -> None:
    """Raise ValueError where a value is NaN or infinite."""
    if not np.isfinite(values).all():
        n_bad = int((~np.isfinite(values)).sum())
        raise ValueError(f"The matrix holds NaN or infinite values ({n_bad} in one block of cells); take them out.")


class PairedCells(Dataset):
    """Cells with RNA and protein; an index list gives a whole minibatch.

    Features that the cells were not measured for are NaN.

    Parameters
    ----------
    pair
        The cells.
    kinds
        What the values are.
    genes, proteins
        Where the model's features are among those of the cells.
    labels
        (n_obs,) class codes, -1 where unlabelled; None where nobody asks.
    """

    def __init__(
        self,
        pair: Paired,
        kinds: PairedKinds,
        *,
        genes: GeneMatch,
        proteins: GeneMatch,
        labels: np.ndarray | None = None,
    ) -> None:
        self.kinds, self.genes, self.proteins = kinds, genes, proteins
        self._rna = StoredRows(pair.rna, pair.rna_layer)
        self._protein = StoredRows(pair.protein, pair.protein_layer)
        self.labels = np.full(pair.n_obs, -1) if labels is None else labels
        self.cells = np.arange(pair.n_obs)

    def __len__(self) -> int:
        return len(self.cells)

    def __getitem__(self, positions: Sequence[int]) -> dict[str, Any]:
        rows = self.cells[np.asarray(positions)]
        rna, protein = self.read(rows)
        tensors = {X: torch.from_numpy(rna), PROTEINS: torch.from_numpy(protein)}
        return tensors | {LABELS: to_column(self.labels[rows], np.int64)}

    def subset(self, cells: np.ndarray) -> PairedCells:
        """The same data with another set of cells."""
        part = copy(self)
        part.cells = cells
        return part

    def digest(self) -> str:
        """Of all that training reads of these cells: genes, proteins, labels."""
        blocks = [digest(batch[X].numpy(), batch[PROTEINS].numpy()).encode() for batch in self.batches(512)]
        return digest(self.labels[self.cells], *blocks)

    def batches(self, size: int) -> Iterator[dict[str, Any]]:
        """All minibatches in order."""
        for start in range(0, len(self), size):
            yield self[range(start, min(start + size, len(self)))]

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Genes (n, p) and proteins (n, q) of some cells, float32: log1p CP10K and CLR, or as they are."""
        with about(RNA):
            rna = self._read_rna(rows)
        with about(PROTEIN):
            protein = self._read_protein(rows)
        return rna, protein

    def _read_rna(self, rows: np.ndarray) -> np.ndarray:
        if self.kinds.rna is None:
            return _chosen(self._rna.read_dense(rows), self.genes)
        linear, totals = self.kinds.rna.to_linear(self._rna.read(rows))
        values = self.genes.select(log_cp10k(linear, totals)).toarray()
        values[:, ~self.genes.found] = np.nan
        return values

    def _read_protein(self, rows: np.ndarray) -> np.ndarray:
        values = _chosen(self._protein.read_dense(rows), self.proteins)
        if self.kinds.protein == "counts":
            measured = values[:, self.proteins.found]
            if measured.min(initial=0) < 0:
                raise ValueError("The matrix holds negative values where counts are expected.")
            values[:, self.proteins.found] = clr(measured)
        return values


def _chosen(values: np.ndarray, match: GeneMatch) -> np.ndarray:
    """The model's features (n, n_model), NaN where they are missing."""
    check_finite(values)
    chosen = np.full((len(values), len(match.columns)), np.nan, dtype=np.float32)
    chosen[:, match.found] = values[:, match.columns[match.found]]
    return chosen


def column_moments(cells: PairedCells, size: int = 512) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean and (population) standard deviation of each gene and protein, float64, in one pass."""
    sums: dict[str, Any] = {RNA: [0.0, 0.0], PROTEIN: [0.0, 0.0]}
    for batch in cells.batches(size):
        for which, key in ((RNA, X), (PROTEIN, PROTEINS)):
            values = batch[key].numpy().astype(np.float64)
            sums[which][0] += values.sum(0)
            sums[which][1] += (values**2).sum(0)
    n = len(cells)
    means = {which: total / n for which, (total, _) in sums.items()}
    return {
        which: (means[which], np.sqrt(np.maximum(squares / n - means[which] ** 2, 0)))
        for which, (_, squares) in sums.items()
    }
