"""Self-attention over the genes of a cell, each a token of its name and its expression bin."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ._attention_block import WIDENING, AttentionBlock
from ._cell_pieces import piece_bounds, shortest_first
from ._expression_bins import expression_bins
from ._output import NetworkOutput

_KEPT_PER_TOKEN = 14 + 5 * WIDENING // 2
"""Values of a token's width that a block keeps for its gradient, about."""

_KEPT_PER_PAIR = 3
"""Values that attention with dropout keeps for each head and pair of tokens, about."""


class _Tokens(NamedTuple):
    """Tokens of m cells: genes (m, n) or None for all in order, bins (m, n), which there are (m, n) or None for all."""

    genes: Tensor | None
    bins: Tensor
    present: Tensor | None


class TransformerNetwork(nn.Module):
    """Self-attention over gene and expression-bin tokens, averaged over the tokens and classified.

    The network of a notebook :cite:p:`mahossam_transformer`. A gene's token is the sum of two learned vectors,
    one for the gene, one for the bin that its expression in the cell falls into (:func:`expression_bins`). Tokens go
    through blocks of attention and feed-forward network; their mean is the embedding, which a linear layer reads. The
    order of genes means nothing.

    Minibatches are computed in pieces of cells. While training, where there is more than one piece, each is computed
    a second time for its gradient instead of being kept.

    Parameters
    ----------
    n_input
        Number p of genes.
    n_classes
        Number of classes.
    width
        Of a token, hence of the embedding; a multiple of `n_heads`.
    n_layers
        Blocks.
    n_heads
        Attention heads of each.
    n_bins
        Bins of equal width for the non-zero values of a cell. A zero has a vector of its own, and so has the largest
        value.
    dropout
        Share of the values set to zero while training, in each block.
    attention_dropout
        The same for the attention weights, which on a CPU takes most of the time. None is `dropout`.
    nonzero_only
        Only genes that the cell expresses are tokens; the others have no part in attention and in the mean.

    Raises
    ------
    ValueError
        A number is below 1, `width` is no multiple of `n_heads`, or a share is not in [0, 1).
    """

    def __init__(
        self,
        n_input: int,
        n_classes: int,
        *,
        width: int = 128,
        n_layers: int = 4,
        n_heads: int = 4,
        n_bins: int = 14,
        dropout: float = 0.5,
        attention_dropout: float | None = None,
        nonzero_only: bool = False,
    ) -> None:
        super().__init__()
        attention_dropout = dropout if attention_dropout is None else attention_dropout
        counts = {"n_input": n_input, "n_classes": n_classes, "width": width, "n_layers": n_layers}
        for name, value in (counts | {"n_heads": n_heads, "n_bins": n_bins}).items():
            if value < 1:
                raise ValueError(f"`{name}={value}` must be at least 1.")
        for name, share in (("dropout", dropout), ("attention_dropout", attention_dropout)):
            if not 0 <= share < 1:
                raise ValueError(f"`{name}={share}` must be at least 0 and below 1.")
        if width % n_heads:
            raise ValueError(f"`width={width}` must be a multiple of `n_heads={n_heads}`.")
        self.n_input, self.n_bins, self.nonzero_only = n_input, n_bins, bool(nonzero_only)
        self.values_per_feature = width // 8 if nonzero_only else width  # of ten genes one is expressed, or two
        self.gene_embedding = nn.Embedding(n_input, width)
        self.bin_embedding = nn.Embedding(n_bins + 2, width)
        self.n_heads, self.attention_dropout = n_heads, attention_dropout
        self.blocks = nn.ModuleList(
            AttentionBlock(width, n_heads, dropout=dropout, attention_dropout=attention_dropout)
            for _ in range(n_layers)
        )
        self.head = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, *, explain: bool = False) -> NetworkOutput:
        """Classify cells.

        Parameters
        ----------
        x
            (B, p) logarithms, log1p, of counts or of values proportional to them within each cell; the bins are those
            of the counts.
        explain
            Say how much attention each gene receives.

        Returns
        -------
        logits (B, n_classes); embedding (B, width), the mean of the tokens; masks (B, p), the attention received by
        each gene, mean over blocks, heads and the tokens that attend, rows sum to 1, or None; no penalty. With
        `nonzero_only` a cell that expresses none of the genes has embedding and masks zero.
        """
        if x.ndim != 2 or x.shape[1] != self.n_input:
            raise ValueError(f"Expected features of shape (n_obs, {self.n_input}), found {tuple(x.shape)}.")
        bins = expression_bins(torch.expm1(x), self.n_bins)
        order, lengths = self._order(bins)
        pieces = piece_bounds(lengths, *self._bytes(x.device.type), x.device.type)
        again = len(pieces) > 1 and torch.is_grad_enabled()
        embedding = x.new_zeros(len(x), self.head.in_features)
        masks = x.new_zeros(x.shape) if explain else None
        for piece in pieces:
            cells = order[piece]
            tokens = self._tokens(bins[cells], lengths[piece][-1])
            if again:
                pooled, received = checkpoint(self._encode, tokens, explain, use_reentrant=False)
            else:
                pooled, received = self._encode(tokens, explain)
            embedding = embedding.index_copy(0, cells, pooled.to(embedding.dtype))
            if masks is not None:
                masks[cells] = received if tokens.genes is None else _to_genes(received, tokens.genes, self.n_input)
        return NetworkOutput(self.head(embedding), embedding, masks, x.new_zeros(()))

    def _order(self, bins: Tensor) -> tuple[Tensor, list[int]]:
        """Cells to compute, shortest first, and how many tokens each has."""
        if self.nonzero_only:
            return shortest_first(bins > 0)
        return torch.arange(len(bins), device=bins.device), [self.n_input] * len(bins)

    def _tokens(self, bins: Tensor, length: int) -> _Tokens:
        """Tokens of cells (m, p); with `nonzero_only` the expressed genes first, padded to the largest number."""
        if not self.nonzero_only:
            return _Tokens(None, bins, None)
        genes = (bins > 0).sort(dim=1, descending=True, stable=True).indices[:, :length]
        own = bins.gather(1, genes)
        return _Tokens(genes, own, own > 0)

    def _encode(self, tokens: _Tokens, explain: bool) -> tuple[Tensor, Tensor]:
        """Embedding (m, width) and attention received (m, n), or nothing (m, 0), of a piece."""
        genes = self.gene_embedding.weight if tokens.genes is None else self.gene_embedding(tokens.genes)
        x = genes + self.bin_embedding(tokens.bins)
        mask = None if tokens.present is None or bool(tokens.present.all()) else tokens.present
        total = torch.zeros((), device=x.device)
        for block in self.blocks:
            x, received = block(x, mask, explain=explain)
            total = total + received
        if mask is None:
            return x.mean(1), total / len(self.blocks)
        there = mask.unsqueeze(2)
        return x.masked_fill(~there, 0).sum(1) / there.sum(1), total / len(self.blocks)

    def _bytes(self, device: str) -> tuple[int, int]:
        """Bytes that a token takes, and a pair of tokens, at the current mode."""
        width, n_blocks = self.head.in_features, len(self.blocks) if torch.is_grad_enabled() else 1
        holds_pairs = self.training and self.attention_dropout > 0 and device != "cuda"
        per_pair = 4 * n_blocks * _KEPT_PER_PAIR * self.n_heads if holds_pairs else 0
        return 4 * n_blocks * _KEPT_PER_TOKEN * width, per_pair


def _to_genes(received: Tensor, genes: Tensor, n_genes: int) -> Tensor:
    """(m, p) what genes (m, n) received, zero for the others."""
    return received.new_zeros(len(received), n_genes).scatter_(1, genes, received)
