"""A batch norm as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._arrays import Gradients, array


class Norm:
    """Weights and running statistics of one batch norm, shared with it.

    Parameters
    ----------
    bn
        The :class:`torch.nn.BatchNorm1d`.
    """

    def __init__(self, bn: Any) -> None:
        self._bn = bn
        self.gain, self.bias = array(bn.weight), array(bn.bias)
        self.mean, self.variance = array(bn.running_mean), array(bn.running_var)
        self.eps = float(bn.eps)

    def update(self, means: np.ndarray, variances: np.ndarray, sizes: np.ndarray) -> None:
        """Take the statistics of chunks that came one after the other into the running ones.

        Parameters
        ----------
        means, variances
            (n_chunks, width) of each chunk; the variances are those of the chunk as a population.
        sizes
            (n_chunks,) rows of each, at least 2.
        """
        momentum, n = self._bn.momentum, len(sizes)
        self._bn.num_batches_tracked += n
        if n == 1:  # the same, with less to do
            self.mean += momentum * (means[0] - self.mean)
            self.variance += momentum * (float(sizes[0] / (sizes[0] - 1)) * variances[0] - self.variance)
            return
        weights = (momentum * (1 - momentum) ** np.arange(n - 1, -1, -1)).astype(self.mean.dtype)
        unbiased = (weights * sizes / (sizes - 1)).astype(self.mean.dtype)
        for running, measured, weight in ((self.mean, means, weights), (self.variance, variances, unbiased)):
            running *= running.dtype.type((1 - momentum) ** n)
            running += (weight[:, None] * measured).sum(0)

    def add(self, gradients: Gradients, gain: np.ndarray, bias: np.ndarray) -> None:
        """Add to the gradients of weight and bias."""
        gradients.add(self._bn.weight, gain)
        gradients.add(self._bn.bias, bias)
