"""Transforms that live inside the model, so that query and reference cannot be prepared differently."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sims_tools.data._kind import TARGET_SUM

MAX_SCALED = 10.0
"""Scaled expression is cut off here, so that a gene nearly silent in the reference cannot shout in a query."""


class CountTransform(nn.Module):
    """Linear counts to log1p CP10K, optionally divided by each gene's standard deviation.

    Genes are scaled but never centred: zero counts stay zero. While training, entries are set to zero at random, so
    that genes missing from a query cost accuracy gently.

    Parameters
    ----------
    n_genes
        Number of genes p.
    scale_genes
        Divide by the standard deviation of the training cells (to be fitted), cut off at 10.
    gene_dropout
        Share of the entries set to zero while training.
    """

    gene_scale: Tensor

    def __init__(self, n_genes: int, *, scale_genes: bool = False, gene_dropout: float = 0.0) -> None:
        super().__init__()
        self.scale_genes = scale_genes
        self.gene_dropout = gene_dropout
        self.register_buffer("gene_scale", torch.ones(n_genes))

    def fit(self, variance: Tensor) -> None:
        """Take the variance (p,) of each gene over the training cells; a constant gene is silenced."""
        deviation = variance.sqrt()
        scale = torch.where(deviation > 0, 1 / deviation.clamp_min(1e-12), torch.zeros_like(deviation))
        self.gene_scale.copy_(scale)

    def forward(self, counts: Tensor, totals: Tensor) -> Tensor:
        """(B, p) linear counts and (B, 1) totals to (B, p) network input; a cell without counts is all zero."""
        x = torch.log1p(counts * (TARGET_SUM / torch.where(totals > 0, totals, 1.0)))
        if self.scale_genes:
            x = (x * self.gene_scale).clamp_max(MAX_SCALED)
        if self.training and self.gene_dropout > 0:
            x = x * (torch.rand_like(x) >= self.gene_dropout)
        return x
