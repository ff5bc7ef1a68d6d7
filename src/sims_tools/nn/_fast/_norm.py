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
        kept, weights, unbiased = self.weights(sizes)
        mean, variance = (np.einsum("c,cj->j", *each) for each in ((weights, means), (unbiased, variances)))
        self.take(kept, mean, variance, len(sizes))

    def weights(self, sizes: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """What chunks leave of running statistics, and the weights (n_chunks,) of their means and their variances."""
        momentum, n = self._bn.momentum, len(sizes)
        weights = momentum * (1 - momentum) ** np.arange(n - 1, -1, -1)
        unbiased = weights * sizes / (sizes - 1)
        return (1 - momentum) ** n, weights.astype(self.mean.dtype), unbiased.astype(self.mean.dtype)

    def take(self, kept: float, mean: np.ndarray, variance: np.ndarray, n_chunks: int) -> None:
        """Move on the running statistics: so much of them is kept, and `mean` and `variance` (width,) are added."""
        self._bn.num_batches_tracked += n_chunks
        for running, coming in ((self.mean, mean), (self.variance, variance)):
            running *= running.dtype.type(kept)
            running += coming

    def add(self, gradients: Gradients, gain: np.ndarray, bias: np.ndarray) -> None:
        """Add to the gradients of weight and bias."""
        gradients.add(self._bn.weight, gain)
        gradients.add(self._bn.bias, bias)
