"""Batch norm over virtual batches, for batches of any size."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GhostBatchNorm(nn.Module):
    """Batch norm applied to chunks of the batch in training (Hoffer et al., NeurIPS 2017, arXiv:1705.08741).

    A batch of B rows is cut in ``ceil(B / virtual_batch_size)`` chunks as :func:`torch.chunk` does. Each chunk is
    normalised with its own statistics and updates the running ones in turn. Evaluation is ordinary batch norm.

    One row has no variance, so no chunk is ever one row: a last chunk of one row is joined to the chunk before it,
    a virtual batch size of 1 counts as 2, and a batch of one row is normalised with the running statistics, which it
    leaves as they are.

    Parameters
    ----------
    num_features
        Width p of the input.
    virtual_batch_size
        Rows per chunk. None normalises the whole batch at once.
    momentum
        Weight of the newest chunk in the running statistics, in (0, 1].
    """

    def __init__(self, num_features: int, virtual_batch_size: int | None = 128, momentum: float = 0.02) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"`num_features` must be at least 1, found {num_features}.")
        if virtual_batch_size is not None and virtual_batch_size < 1:
            raise ValueError(f"`virtual_batch_size` must be at least 1, or None, found {virtual_batch_size}.")
        if not 0 < momentum <= 1:
            raise ValueError(f"`momentum` must be in (0, 1], found {momentum}.")
        self.virtual_batch_size = virtual_batch_size
        self.bn = nn.BatchNorm1d(num_features, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise.

        Parameters
        ----------
        x
            (B, p), B >= 0.

        Returns
        -------
        (B, p).
        """
        if len(x) < 2 or not self.training:
            bn = self.bn
            return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias, training=False, eps=bn.eps)
        sizes = chunk_sizes(len(x), self.virtual_batch_size)
        if len(sizes) == 1:
            return self.bn(x)
        return torch.cat([self.bn(chunk) for chunk in x.split(sizes)])

    def extra_repr(self) -> str:
        """Show the virtual batch size when printed."""
        return f"virtual_batch_size={self.virtual_batch_size}"


def chunk_sizes(n_rows: int, virtual_batch_size: int | None) -> list[int]:
    """Rows of each chunk of a training batch.

    Parameters
    ----------
    n_rows
        Rows of the batch, at least 2.
    virtual_batch_size
        Rows wanted per chunk, or None for a single chunk.

    Returns
    -------
    Sizes that sum to `n_rows`: those of :func:`torch.chunk`, except that none is below 2.
    """
    if virtual_batch_size is None or n_rows <= virtual_batch_size:
        return [n_rows]
    n_chunks = -(-n_rows // virtual_batch_size)
    size = max(-(-n_rows // n_chunks), 2)
    n_full, rest = divmod(n_rows, size)
    sizes = [size] * n_full
    if rest == 1:
        sizes[-1] += 1
    elif rest:
        sizes.append(rest)
    return sizes
