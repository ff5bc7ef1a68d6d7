"""Entropy of masks, and its gradient."""

from __future__ import annotations

import numpy as np

from sims_tools.nn._output import LOG_FLOOR

from ._jit import Array, compiled, run_tasks
from ._masks import Masks
from ._memory import like

_BLOCK = 1 << 15
"""Shares of a task: few enough to stay in the cache, so many that calls do not count."""


class Entropy:
    """Entropy in nats, averaged over steps and cells.

    Parameters
    ----------
    n_rows, n_steps
        Number of cells and of steps.
    """

    def __init__(self, n_rows: int, n_steps: int) -> None:
        self.share = 1 / (n_rows * n_steps)
        self._logs: list[np.ndarray] = []

    def of_step(self, shares: np.ndarray, *, keep: bool) -> float:
        """A step's part.

        Parameters
        ----------
        shares
            (n_stored,) of the step's mask.
        keep
            Keep what :meth:`add_grad` needs.
        """
        n_tasks = -(-len(shares) // _BLOCK)
        logs, parts = like(shares), np.empty(n_tasks)
        run_tasks(_logarithms, n_tasks, shares, logs, parts)
        if keep:
            self._logs.append(logs)
        return -float(parts.sum()) * self.share

    def add_grad(self, masks: Masks, grad_entropy: float, grad: np.ndarray) -> None:
        """Add the gradient of the shares of all masks."""
        for step, logs in enumerate(self._logs):
            span = masks.span(step)
            factor = grad.dtype.type(grad_entropy * self.share)
            run_tasks(_add_grad, -(-len(logs) // _BLOCK), masks.shares[span], logs, factor, grad[span])


def _logarithms(task: int, shares: np.ndarray, logs: np.ndarray, parts: np.ndarray) -> None:
    """Not compiled: numpy's logarithm is vectorised, and lets other threads run."""
    span = slice(task * _BLOCK, (task + 1) * _BLOCK)
    np.add(shares[span], LOG_FLOOR, out=logs[span])
    np.log(logs[span], out=logs[span])
    parts[task] = np.einsum("i,i->", shares[span], logs[span])


@compiled
def _add_grad(task: int, shares: Array, logs: Array, factor: float, grad: Array) -> None:
    floor = shares.dtype.type(LOG_FLOOR)
    for e in range(task * _BLOCK, min((task + 1) * _BLOCK, len(shares))):
        grad[e] -= factor * (logs[e] + shares[e] / (shares[e] + floor))
