"""The virtual batches of ghost batch norm, all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from sims_tools.nn._ghost_norm import GhostBatchNorm, chunk_sizes

from ._norm import Running


@dataclass(frozen=True)
class Chunks:
    """How a training batch is cut, see :class:`GhostBatchNorm`.

    Only the last chunk can differ in size from the others, so two views of equal chunks hold any batch.

    Attributes
    ----------
    size
        Rows of every chunk but the last.
    count
        Number K of chunks.
    n_rows
        Rows B of the batch.
    """

    size: int
    count: int
    n_rows: int

    @classmethod
    def cut(cls, n_rows: int, virtual_batch_size: int | None) -> Self:
        """Chunks of a batch of at least two rows."""
        sizes = chunk_sizes(n_rows, virtual_batch_size)
        return cls(sizes[0], len(sizes), n_rows)

    @property
    def equal(self) -> bool:
        """Whether the last chunk is as large as the others."""
        return self.size * self.count == self.n_rows

    def views(self, x: Tensor) -> list[Tensor]:
        """Chunks of equal size as one tensor (k, size, width) each, in order.

        Parameters
        ----------
        x
            (B, width), contiguous.

        Returns
        -------
        One or two views of `x`.
        """
        if self.equal:
            return [x.view(self.count, self.size, -1)]
        border = self.size * (self.count - 1)
        return [x[:border].view(self.count - 1, self.size, -1), x[border:][None]]

    def lengths(self, like: Tensor) -> Tensor:
        """(K, 1) rows of each chunk, made on the device."""
        lengths = like.new_full((self.count, 1), self.size)
        lengths[-1].fill_(self.n_rows - self.size * (self.count - 1))
        return lengths

    def of_row(self, device: torch.device) -> Tensor:
        """(B,) chunk of each row."""
        return (torch.arange(self.n_rows, device=device) // self.size).clamp_(max=self.count - 1)

    def centre(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows minus their chunk's mean.

        Parameters
        ----------
        x
            (B, width).

        Returns
        -------
        (B, width) centred rows, (K, width) means.
        """
        views = self.views(x.contiguous())
        means = [view.mean(1) for view in views]
        centred = [(view - mean[:, None]).flatten(0, 1) for view, mean in zip(views, means, strict=True)]
        return torch.cat(centred), torch.cat(means)

    def weights(self, momentum: float, like: Tensor) -> Tensor:
        """(K,) weight of each chunk's statistic in the running one, ``m (1 - m)^(K - 1 - c)``, made on the device."""
        later = torch.arange(self.count - 1, -1, -1, device=like.device, dtype=like.dtype)
        return momentum * torch.pow(1 - momentum, later)


class Ghosts:
    """What ghost batch norms do with one batch, worked out once for all norms of the same settings.

    Parameters
    ----------
    n_rows
        Rows B of the batch.
    """

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self._chunks: dict[int | None, Chunks] = {}
        self._weights: dict[tuple[Chunks, float], Tensor] = {}

    def chunks(self, norm: GhostBatchNorm) -> Chunks | None:
        """Chunks that `norm` would cut; None where it uses its running statistics."""
        if self.n_rows < 2 or not norm.training:
            return None
        size = norm.virtual_batch_size
        if size not in self._chunks:
            self._chunks[size] = Chunks.cut(self.n_rows, size)
        return self._chunks[size]

    @torch.no_grad()
    def update(self, bn: nn.BatchNorm1d, chunks: Chunks, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics of a norm as one chunk after the other would.

        Parameters
        ----------
        bn
            Its running statistics change.
        chunks
            K chunks.
        mean
            (K, width) mean of each chunk.
        variance
            (K, width) unbiased variance of each chunk.
        """
        running = Running.of(bn)
        key = chunks, running.momentum
        if key not in self._weights:
            self._weights[key] = chunks.weights(running.momentum, mean)
        kept = (1 - running.momentum) ** chunks.count
        running.mean.addmv_(mean.t(), self._weights[key], beta=kept)
        running.variance.addmv_(variance.t(), self._weights[key], beta=kept)
        running.n_batches.add_(chunks.count)
