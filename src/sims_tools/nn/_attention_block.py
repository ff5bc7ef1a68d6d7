"""A layer of self-attention over tokens, and how much attention each token receives."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDENING = 4
"""Width of the hidden layer of a block over that of its tokens."""

CHUNK = 1 << 19
"""Attention weights that are computed at once where they have to be held; larger tensors leave gaps in memory."""


class AttentionBlock(nn.Module):
    """Self-attention and a feed-forward network, each added to its input and followed by layer norm.

    That is the encoder layer of Vaswani et al., "Attention is all you need" (NeurIPS 2017), with GELU.

    Parameters
    ----------
    width
        Of a token; a multiple of `n_heads`.
    n_heads
        Attention heads.
    dropout
        Share of the values set to zero while training: of what attention and feed-forward network add, and of the
        hidden layer of the latter.
    attention_dropout
        The same for the attention weights.
    """

    def __init__(self, width: int, n_heads: int, *, dropout: float, attention_dropout: float) -> None:
        super().__init__()
        self.n_heads, self.dropout, self.attention_dropout = n_heads, dropout, attention_dropout
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.widen = nn.Linear(width, WIDENING * width)
        self.narrow = nn.Linear(WIDENING * width, width)
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        for weight in self.qkv.weight.chunk(3):
            nn.init.xavier_uniform_(weight)
        nn.init.zeros_(self.qkv.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, present: Tensor | None = None, *, explain: bool = False) -> tuple[Tensor, Tensor]:
        """Let tokens attend to each other.

        Parameters
        ----------
        x
            (m, n, width) tokens of m cells.
        present
            (m, n) bool: which of them there are, at least one in a cell; None for all.
        explain
            Also say what each receives.

        Returns
        -------
        Tokens (m, n, width), those that are not there without meaning; and the attention that each received (m, n),
        mean over heads and over the tokens that are there, or nothing (m, 0).
        """
        query, key, value = self.qkv(x).unflatten(2, (3, self.n_heads, -1)).permute(2, 0, 3, 1, 4)
        attended = self._attend(query, key, value, None if present is None else present[:, None, None])
        x = self.attention_norm(x + self._dropped(self.out(attended.transpose(1, 2).flatten(2))))
        hidden = self._dropped(F.gelu(self.widen(x)))
        x = self.feedforward_norm(x + self._dropped(self.narrow(hidden)))
        return x, attention_received(query, key, present) if explain else x.new_empty(len(x), 0)

    def _attend(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
        """Attended values (m, h, n, d); some queries after the other where dropout has torch hold their weights."""
        dropout = self.attention_dropout if self.training else 0.0
        n_queries = query.shape[2]
        if dropout and query.device.type == "cpu":
            n_queries = max(1, CHUNK // (len(query) * self.n_heads * n_queries))
        parts = query.split(n_queries, 2)
        done = [F.scaled_dot_product_attention(each, key, value, mask, dropout_p=dropout) for each in parts]
        return done[0] if len(done) == 1 else torch.cat(done, 2)

    def _dropped(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.dropout, self.training)


@torch.no_grad()
def attention_received(query: Tensor, key: Tensor, present: Tensor | None = None) -> Tensor:
    """Attention that each token receives, mean over heads and over the tokens that attend.

    Of the (m, h, n, n) weights few are held at once: those of some cells, or of some queries of one cell.

    Parameters
    ----------
    query, key
        (m, h, n, d).
    present
        (m, n) bool: tokens that there are; None for all.

    Returns
    -------
    (m, n) float32, rows sum to 1; zero where a token is not there.
    """
    with torch.autocast(query.device.type, enabled=False):
        return _received(query.float(), key.float(), present)


def _received(query: Tensor, key: Tensor, present: Tensor | None) -> Tensor:
    """The same in float32."""
    m, n_heads, n, d = query.shape
    received = query.new_zeros(m, n)
    n_cells = max(1, CHUNK // (n_heads * n * n))
    n_queries = n if n_cells > 1 else max(1, CHUNK // (n_heads * n))
    for start in range(0, m, n_cells):
        cells = slice(start, start + n_cells)
        there = None if present is None else present[cells]
        keys = key[cells].transpose(2, 3) / math.sqrt(d)
        for first in range(0, n, n_queries):
            some = slice(first, first + n_queries)
            weights = _weights(query[cells, :, some] @ keys, there)
            received[cells] += weights.sum((1, 2)) if there is None else _summed(weights, there[:, some])
    n_attending = n if present is None else present.sum(1, keepdim=True)
    return received / (n_heads * n_attending)


def _weights(scores: Tensor, present: Tensor | None) -> Tensor:
    """(m, h, q, n) shares of the tokens that are there."""
    return (scores if present is None else scores.masked_fill(~present[:, None, None], -torch.inf)).softmax(-1)


def _summed(weights: Tensor, attending: Tensor) -> Tensor:
    """(m, n) sum over heads and the queries (m, q) that there are."""
    return (attending[:, None, None].to(weights.dtype) @ weights).sum((1, 2))
