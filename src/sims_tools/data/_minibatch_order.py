"""Which cells make which minibatch, on which process: a function of seed and epoch, so that nothing has to be kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

from ._sampling import balanced_draws


def epoch_rng(seed: int, *numbers: int) -> np.random.Generator:
    """Random numbers that depend on a seed and on the numbers, such as that of the epoch, and on nothing else."""
    return np.random.default_rng([seed % 2**63, *numbers])


class MinibatchOrder(Sampler[np.ndarray]):
    """Positions of the cells of each minibatch, those of one process where several share the minibatches.

    Every cell comes once an epoch, on one process. Each minibatch is cut into as many parts as there are processes, of
    sizes that differ by one at most; so processes take the same number of steps. A last minibatch of fewer cells than
    processes goes to the one before it.

    Parameters
    ----------
    n_cells
        Cells of an epoch.
    batch_size
        Cells per minibatch, on all processes together.
    shuffle
        A new order in each epoch.
    seed
        Of the order.
    drop_last
        Leave out what does not fill a minibatch; other cells in every epoch.
    rank, n_processes
        Which process of how many.
    on_epoch
        Called with the number of the epoch before its first minibatch.
    codes
        (n_cells,) class of each cell, where all classes are to come equally often
        (:func:`~sims_tools.data._sampling.balanced_draws`) instead of all cells.
    """

    def __init__(
        self,
        n_cells: int,
        batch_size: int,
        *,
        shuffle: bool,
        seed: int = 0,
        drop_last: bool = False,
        rank: int = 0,
        n_processes: int = 1,
        on_epoch: Callable[[int], None] | None = None,
        codes: np.ndarray | None = None,
    ) -> None:
        self._n_cells, self._shuffle, self._seed = n_cells, shuffle, seed
        self._rank, self._n_processes, self._on_epoch = rank, n_processes, on_epoch
        self._codes = codes
        self._bounds = _bounds(n_cells, batch_size, n_processes, drop_last)
        self.epoch = 0

    def __len__(self) -> int:
        return len(self._bounds) - 1

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of this epoch, counted from 0; otherwise passes count on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[np.ndarray]:
        epoch = self.epoch
        self.epoch += 1
        if self._on_epoch is not None:
            self._on_epoch(epoch)
        order = self._order(epoch)
        for start, stop in zip(self._bounds[:-1], self._bounds[1:], strict=True):
            yield self._part(order[start:stop])

    def _order(self, epoch: int) -> np.ndarray:
        """(n_cells,) positions, repeated ones among them where classes are balanced."""
        if not self._shuffle:
            return np.arange(self._n_cells)
        rng = epoch_rng(self._seed, epoch)
        if self._codes is None:
            return rng.permutation(self._n_cells)
        return rng.permutation(np.repeat(np.arange(self._n_cells), balanced_draws(self._codes, rng)))

    def _part(self, minibatch: np.ndarray) -> np.ndarray:
        """The share of this process; where there are fewer cells than processes, all are everybody's."""
        if len(minibatch) < self._n_processes:
            return minibatch
        return np.array_split(minibatch, self._n_processes)[self._rank]


def _bounds(n_cells: int, batch_size: int, n_processes: int, drop_last: bool) -> np.ndarray:
    """Where minibatches begin, and where the last one ends."""
    bounds = np.arange(0, n_cells + 1, batch_size)
    left = n_cells - bounds[-1]
    if drop_last or left == 0:
        return bounds
    if left < n_processes and len(bounds) > 1:
        bounds[-1] = n_cells
        return bounds
    return np.append(bounds, n_cells)
