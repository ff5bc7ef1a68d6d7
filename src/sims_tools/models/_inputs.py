"""Transforms that live inside the model, so that query and reference cannot be prepared differently."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sims_tools.data._kind import TARGET_SUM
from sims_tools.nn import SparseRows

MAX_SCALED = 10.0
"""Scaled expression is cut off here, so that a gene nearly silent in the reference cannot shout in a query."""


class CountTransform(nn.Module):
    """Linear counts to log1p CP10K, optionally divided by each gene's standard deviation.

    Genes are scaled and, unless that is asked for, not centred: zero counts stay zero. While training, entries are set
    to zero at random, so that genes missing from a query cost accuracy gently. Of sparse rows only what is stored is
    touched: what becomes zero stays stored as a zero, so that the pattern is shared with the counts.

    Proteins, the last features, come on a linear scale on which the same logarithm gives their own transform
    (:class:`~sims_tools.data._joint.JointRows`). While training, one modality or the other of some cells is hidden, so
    that each can do without the other.

    Parameters
    ----------
    n_genes
        Number of features p: genes, and after them proteins.
    scale_genes
        Divide by the standard deviation of the training cells (to be fitted), cut off at 10.
    gene_dropout
        Share of the genes' entries set to zero while training.
    n_proteins
        Of the features; 0 where all are genes.
    modality_dropout
        Share of the cells of which genes (of one half) or proteins (of the other) are hidden while training.
    center_genes
        z-scores: scale, subtract the mean of the training cells (to be fitted) and do not cut off. What is read
        becomes dense. Of a cell that has no counts of a modality, all its features are at the mean.
    """

    gene_scale: Tensor
    gene_mean: Tensor
    _given: Tensor

    def __init__(
        self,
        n_genes: int,
        *,
        scale_genes: bool = False,
        gene_dropout: float = 0.0,
        n_proteins: int = 0,
        modality_dropout: float = 0.0,
        center_genes: bool = False,
    ) -> None:
        super().__init__()
        self.scale_genes = scale_genes or center_genes
        self.center_genes = center_genes
        self.gene_dropout = gene_dropout
        self.n_proteins = n_proteins
        self.modality_dropout = modality_dropout
        self._first_protein = n_genes - n_proteins
        self.register_buffer("gene_scale", torch.ones(n_genes))
        self.register_buffer("_given", torch.zeros(n_genes, dtype=torch.bool), persistent=False)
        if center_genes:
            self.register_buffer("gene_mean", torch.zeros(n_genes))

    def fit(self, variance: Tensor, mean: Tensor | None = None) -> None:
        """Take the variance (p,) of each gene over the training cells; a constant gene is silenced.

        The mean (p,) is wanted where genes are centred.
        """
        deviation = variance.sqrt().to(self.gene_scale.device)
        scale = torch.where(deviation > 0, 1 / deviation.clamp_min(1e-12), torch.zeros_like(deviation))
        self.gene_scale.copy_(torch.where(self._given, self.gene_scale, scale))
        if self.center_genes and mean is not None:
            self.gene_mean.copy_(torch.where(self._given, self.gene_mean, mean.to(self.gene_mean)))

    def take_scale(self, other: CountTransform, genes: Tensor, others: Tensor) -> None:
        """Read some genes (n,) as another transform reads its own (n,); :meth:`fit` leaves them so from now on.

        A gene that was silent there is scaled by the training cells.
        """
        scale = other.gene_scale.to(self.gene_scale)[others]
        self.gene_scale[genes] = scale
        self._given[genes] = scale > 0
        if self.center_genes:
            self.gene_mean[genes] = other.gene_mean.to(self.gene_mean)[others]

    def forward(self, counts: Tensor | SparseRows, totals: Tensor) -> Tensor | SparseRows:
        """(B, p) linear counts and (B, 1) totals to (B, p) network input; a cell without counts is all zero."""
        if self.center_genes and isinstance(counts, SparseRows):
            counts = counts.to_dense()
        factors = TARGET_SUM / torch.where(totals > 0, totals, 1.0)
        if isinstance(counts, SparseRows):
            scale = self.gene_scale.index_select(0, counts.indices) if self.scale_genes else None
            values = self._values(counts.values, _of_rows(factors, counts), scale)
            if self._drops:
                values = values.mul_(self._kept(values, counts.indices))
            if self._hides:
                values = values.mul_(self._shown_stored(counts))
            return counts.with_values(values)
        values = self._values(counts, factors, self.gene_scale if self.scale_genes else None)
        if self.center_genes:
            values = values.mul_(self._by_modality(*self._measured(counts)))
        if self._drops:
            values = values.mul_(self._kept(values, torch.arange(values.shape[1], device=values.device)))
        return values.mul_(self._shown(counts)) if self._hides else values

    def _values(self, counts: Tensor, factors: Tensor, scale: Tensor | None) -> Tensor:
        """Each count times the factor of its cell, to logarithms, over its gene's deviation."""
        x = (counts * factors).log1p_()
        if scale is None:
            return x
        if self.center_genes:
            return x.sub_(self.gene_mean).mul_(scale)
        return x.mul_(scale).clamp_max_(MAX_SCALED)

    def _kept(self, x: Tensor, columns: Tensor) -> Tensor:
        """Bool, as x: entries that stay. Proteins do: where one alone marks a class, nothing makes up for it."""
        stays = torch.rand_like(x) >= self.gene_dropout
        return stays | (columns >= self._first_protein) if self.n_proteins else stays

    @property
    def _drops(self) -> bool:
        return self.training and self.gene_dropout > 0

    @property
    def _hides(self) -> bool:
        return self.training and self.n_proteins > 0 and self.modality_dropout > 0

    def _shown_stored(self, counts: SparseRows) -> Tensor:
        """(n_stored,) bool: values of modalities that are not hidden."""
        of_proteins, rows = counts.indices >= self._first_protein, counts.row_ids()
        n_proteins = torch.zeros(counts.n_rows, device=rows.device).index_add_(0, rows, of_proteins.float())
        hides_genes, hides_proteins = self._hidden(counts.indptr.diff() - n_proteins > 0, n_proteins > 0)
        return ~torch.where(of_proteins, hides_proteins[rows], hides_genes[rows])

    def _shown(self, counts: Tensor) -> Tensor:
        """(B, p) bool: the same for dense counts."""
        hides_genes, hides_proteins = self._hidden(*self._measured(counts))
        return ~self._by_modality(hides_genes, hides_proteins)

    def _measured(self, counts: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) bool each: cells with counts of genes, and of proteins."""
        there = counts != 0
        return there[:, : self._first_protein].any(1), there[:, self._first_protein :].any(1)

    def _by_modality(self, of_genes: Tensor, of_proteins: Tensor) -> Tensor:
        """(B, p): what is said of each cell's genes and of its proteins, at each of them."""
        n_genes = self._first_protein
        return torch.cat(
            [of_genes[:, None].expand(-1, n_genes), of_proteins[:, None].expand(-1, self.n_proteins)], dim=1
        )

    def _hidden(self, has_genes: Tensor, has_proteins: Tensor) -> tuple[Tensor, Tensor]:
        """(B,) bool each: cells whose genes, or whose proteins, are hidden; of a cell with one of them, neither."""
        drawn, both = torch.rand(len(has_genes), device=has_genes.device), has_genes & has_proteins
        half = self.modality_dropout / 2
        return both & (drawn < half), both & (drawn >= 1 - half)


def _of_rows(factors: Tensor, counts: SparseRows) -> Tensor:
    """(n_stored,) the factor (B, 1) of the row that each value is in."""
    lengths = counts.indptr.diff()
    if factors.device.type == "cpu":  # numpy is several times as quick
        return torch.from_numpy(np.repeat(factors.numpy(), lengths.numpy()))
    return factors.view(-1).repeat_interleave(lengths, output_size=len(counts.values))
