"""Expression of a cell as whole numbers: which of its bins a gene is in."""

from __future__ import annotations

import torch
from torch import Tensor

_SLACK = 1e-4
"""Bins below an edge that a value may lie and still count as on it: what float32 makes of a count and its logarithm."""


def expression_bins(x: Tensor, n_bins: int) -> Tensor:
    """Bins of equal width between the smallest and the largest non-zero value of each cell.

    A value on an edge belongs to the bin above it, so that the largest value has a bin of its own. Bins are those of
    any values proportional to these: a cell's counts and the same divided by its total share them.

    Parameters
    ----------
    x
        (B, p) non-negative values on a linear scale.
    n_bins
        Number of bins of equal width.

    Returns
    -------
    (B, p) int64: 0 for a zero, 1 to `n_bins` for what lies in a bin, `n_bins + 1` for the largest value. Where all
    non-zero values of a cell are the same, or there is one bin, they are 1.
    """
    expressed = x > 0
    low = x.masked_fill(~expressed, torch.inf).amin(1, keepdim=True)
    high = x.amax(1, keepdim=True)
    varies = (high > low) & (n_bins > 1)
    place = (x - low) * n_bins / torch.where(varies, high - low, 1.0)
    bins = (place + _SLACK).floor().clamp(0, n_bins) + 1
    return torch.where(expressed, torch.where(varies, bins, 1.0), 0.0).long()
