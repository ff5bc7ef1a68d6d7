"""How a minibatch is cut, so that the cut depends on the data and never on the machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sims_tools.nn._ghost_norm import chunk_sizes

from ._memory import unset
from ._product import LANES

EVALUATED = 128
"""Cells at a time where statistics are given."""

_GROUPS = 8
"""Parts of a minibatch, at most, that sum the gradient of small layers on their own."""


@dataclass(frozen=True)
class Chunks:
    """Chunks of cells.

    Attributes
    ----------
    first_rows
        (n_chunks + 1,) int64 first cell of each chunk.
    measure
        Each chunk is normalised by its own statistics; otherwise by given ones.
    """

    first_rows: np.ndarray
    measure: bool

    @classmethod
    def cut(cls, n_rows: int, virtual_batch_size: int | None, *, training: bool) -> Chunks:
        """Cut as :class:`~sims_tools.nn.GhostBatchNorm` does; in evaluation, and for a single row, in equal blocks."""
        measure = training and n_rows >= 2
        if measure:
            sizes = chunk_sizes(n_rows, virtual_batch_size)
        else:
            sizes = [min(EVALUATED, n_rows - start) for start in range(0, n_rows, EVALUATED)]
        return cls(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64), measure)

    def __len__(self) -> int:
        return len(self.first_rows) - 1

    @property
    def n_rows(self) -> int:
        """Number of cells."""
        return int(self.first_rows[-1])

    @property
    def sizes(self) -> np.ndarray:
        """(n_chunks,) cells of each."""
        return np.diff(self.first_rows)

    @property
    def n_statistics(self) -> int:
        """Rows that statistics have: one for each chunk, or one for all."""
        return len(self) if self.measure else 1

    @property
    def statistics_of(self) -> np.ndarray:
        """(n_rows,) int64: which row of the statistics belongs to each cell."""
        if not self.measure:
            return np.zeros(self.n_rows, np.int64)
        return np.repeat(np.arange(len(self)), self.sizes)

    @property
    def per_group(self) -> int:
        """Chunks in a group, for work that keeps something for each group."""
        return max(1, -(-len(self) // _GROUPS))

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return -(-len(self) // self.per_group)

    def bands(self, n_rows: int, within: slice | None = None) -> list[slice]:
        """Runs of chunks of about `n_rows` cells or of one chunk, out of all or of some that follow each other."""
        begin, end = (0, len(self)) if within is None else (within.start, within.stop)
        ends, starts = [], [begin]
        for chunk in range(begin + 1, end + 1):
            if chunk == end or self.first_rows[chunk + 1] - self.first_rows[starts[-1]] > n_rows:
                ends.append(chunk)
                starts.append(chunk)
        return [slice(start, stop) for start, stop in zip(starts, ends, strict=False)]

    def transposed(self, features: np.ndarray, band: slice) -> np.ndarray:
        """(n_chunks, width, n_padded) features of some chunks, cells last and padded with zeros."""
        sizes = self.sizes[band]
        padded = -(-int(sizes.max()) // LANES) * LANES
        out = unset((len(sizes), features.shape[1], padded), features.dtype)
        out[:] = 0
        for i, (first, n) in enumerate(zip(self.first_rows[band], sizes, strict=True)):
            out[i, :, :n] = features[first : first + n].T
        return out


def stripes(n_genes: int, n_wanted: int, smallest: int = 1024) -> np.ndarray:
    """(n_stripes + 1,) int64 first gene of each of so many stripes, or of fewer that are not too small."""
    n = max(1, min(n_wanted, n_genes // smallest))
    return np.linspace(0, n_genes, n + 1).astype(np.int64)
