"""Minibatches of cells that stay where they are stored: blocks of rows in shuffled order, shuffled among each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import sparse

from sims_tools._digest import digest
from sims_tools._validate import check_choice

from ._block_order import BlockOrder, Share
from ._dataset import Batch, CellDataset
from ._kind import InputKind
from ._minibatch_order import epoch_rng
from ._panels import PanelCells, Panels
from ._sampling import SAMPLINGS, balanced_draws

if TYPE_CHECKING:
    from ._joined import JoinedReference

BLOCK_SIZE, BUFFER_SIZE = 128, 32_768
"""Rows of a block, and cells that are shuffled among each other, where chunks are small and memory is enough."""

_BLOCKS_TOGETHER, _FEWEST_BLOCKS, _SMALLEST_BLOCK = 256, 64, 8
"""Blocks of a buffer; how many there are for sure, and rows of a block for sure, even where chunks are large."""

_CHUNKS_TOGETHER = 2
"""Chunks of a block, where memory allows: of each block, a row begins in its last chunk and ends in the next."""

_LARGEST_BUFFER, _MOST_CELLS = 1 << 28, 1 << 19
"""Bytes, about, and cells, above which fewer cells are shuffled among each other."""

_SMALLEST_BUFFER = 2048
"""Cells that are shuffled among each other in any case."""

_HELD = 16_384
"""Cells of small classes, at most, that stay in memory: those drawn over and over, or of classes that lie together."""

_BLOCKS_OF_CLASS = 4
"""Blocks of a class for each buffer, below which the class would be missing from some."""

_ORDER, _SHUFFLE, _PANELS = range(3)  # what random numbers are for


class Buffer(NamedTuple):
    """Cells in memory: linear values (n, n_genes), totals (n,), and positions (n,) among the cells of a stream."""

    linear: sparse.csr_matrix
    totals: np.ndarray
    cells: np.ndarray

    def take(self, which: np.ndarray) -> Buffer:
        """Some of them, in any order, also repeated."""
        linear = self.linear[which]
        linear.has_canonical_format = True
        return Buffer(linear, self.totals[which], self.cells[which])


class BlockStream:
    """Minibatches of the cells of a reference, read while they are needed.

    Blocks of neighbouring rows are visited in shuffled order. As many as make `buffer_size` cells are in memory at a
    time and shuffled; what does not fill a minibatch is shuffled in again with the next ones. The order is a function
    of seed, epoch and the chunks of the files: blocks are made of whole chunks, as far as memory allows, so that none
    is decompressed for two buffers.

    Parameters
    ----------
    reference
        Where the cells are, with the genes to read.
    rows
        (n,) rows of the cells, rising, all with a label.
    batch_size
        Cells per minibatch, on all processes together.
    seed
        Of the order.
    sampling
        "uniform" draws every cell once in an epoch, "balanced" every class equally often
        (:func:`~sims_tools.data._sampling.balanced_draws`).
    share
        The process, where several share the cells. All have the same number of minibatches.
    panels
        What each reference measured, where that differs: cells are shown through all of them
        (:class:`~sims_tools.data._panels.PanelCells`), with donors from among those in memory.
    block_size, buffer_size
        Rows of a block, about, and cells in memory at a time. None is what :func:`fitting_sizes` finds for 256 MB.
    """

    def __init__(
        self,
        reference: JoinedReference,
        rows: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        sampling: str = "uniform",
        share: Share | None = None,
        panels: Panels | None = None,
        block_size: int | None = None,
        buffer_size: int | None = None,
    ) -> None:
        check_choice("sampling", sampling, SAMPLINGS)
        self.reference, self.rows, self.batch_size, self.seed = reference, rows, batch_size, seed
        self.sampling, self.share = sampling, Share() if share is None else share
        self.epoch = 0
        self._panels = panels
        self._codes = reference.labels.codes[rows]
        fitting = fitting_sizes(buffer_size or self._n_fitting(), reference.rows_of_chunk)
        self._buffer_size = buffer_size or fitting[1]
        self._starts = reference.block_starts(block_size or fitting[0])
        self._order = BlockOrder(rows, self._starts)
        self._few = self._small_classes()
        self._held: Buffer | None = None
        self._n_held = int(self._draws(epoch_rng(0))[self._few].sum()) if len(self._few) else 0

    def __len__(self) -> int:
        n_visited = len(self.rows) - self._n_held
        return -(-(self.share.size(n_visited) + self.share.size(self._n_held)) // self._n_of_step)

    @property
    def _n_of_step(self) -> int:
        """Cells of a minibatch of this process."""
        return self.share.size(self.batch_size)

    @property
    def sampler(self) -> BlockStream:
        """What Lightning tells the epoch, as it does the sampler of a :class:`torch.utils.data.DataLoader`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """The next pass is that of this epoch, counted from 0; otherwise passes count on."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        self.epoch += 1
        return self.batches(self.epoch - 1)

    def digest(self) -> str:
        """Of the cells, by what was learned of all of them when they were read first, and of how they are visited."""
        reference = self.reference
        counted = [store.n_stored for store in reference.stores]
        sizes = np.array([self._buffer_size])
        return digest(self.rows, self._codes, reference.totals, sizes, self._starts, *counted)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Minibatches of an epoch, labels among them.

        Raises
        ------
        RuntimeError
            A file was changed since it was opened.
        ValueError
            A file holds other values than those that were checked.
        """
        self.reference.check_unchanged()
        size, left, number = self._n_of_step, None, 0
        fills = self.drawn(epoch)
        fill = next(fills, None)
        while fill is not None:
            buffer = self._read(fill, left)
            rng = epoch_rng(self.seed, _SHUFFLE, epoch, self.share.rank, number)
            buffer = buffer.take(rng.permutation(len(buffer.cells)))
            source = self._source(buffer, epoch, number)
            fill, number, n_cells = next(fills, None), number + 1, len(buffer.cells)
            full = n_cells if fill is None else n_cells // size * size
            for start in range(0, full, size):
                yield source[range(start, min(start + size, full))]
            left = buffer.take(np.arange(full, n_cells))
            del buffer, source  # before the next are read

    def drawn(self, epoch: int) -> Iterator[list[np.ndarray]]:
        """Positions of the cells that each buffer of an epoch is filled with, visit by visit; nothing is read.

        Those of the last visit are cells that are held in memory.
        """
        rng = epoch_rng(self.seed, _ORDER, epoch)
        draws, held = None, np.empty(0, np.int64)
        if self.sampling == "balanced" or len(self._few):
            draws = self._draws(rng)
            held = self.share.own(rng.permutation(np.repeat(self._few, draws[self._few])))
            draws[self._few] = 0
        n_visited = self.share.size(len(self.rows) - self._n_held)
        filling: list[np.ndarray] = []
        n_done = n_shown = n_filling = 0
        for cells in self._order.visits(draws, rng, self.share, self._buffer_size):
            filling.append(cells)
            n_filling, n_done = n_filling + len(cells), n_done + len(cells)
            due = len(held) * n_done // n_visited - n_shown
            if n_filling + due >= self._buffer_size or n_done >= n_visited:
                yield [*filling, held[n_shown : n_shown + due]]
                n_shown, filling, n_filling = n_shown + due, [], 0
        for start in range(n_shown, len(held), self._buffer_size):
            yield [held[start : start + self._buffer_size]]

    def _read(self, fill: list[np.ndarray], left: Buffer | None) -> Buffer:
        """What is left of a buffer and the cells of the next, as :meth:`drawn` gives them: a chunk is read once."""
        *visits, held = fill
        parts = [] if left is None else [left]
        if visits:
            cells, at = np.unique(np.concatenate(visits), return_inverse=True)
            new = Buffer(*self.reference.read(self.rows[cells]), cells)
            parts.append(new if len(at) == len(cells) else new.take(at))
        if len(held):
            parts.append(self._from_memory(held))
        return parts[0] if len(parts) == 1 else together(parts)

    def _from_memory(self, cells: np.ndarray) -> Buffer:
        if self._held is None:
            self._held = Buffer(*self.reference.read(self.rows[self._few]), self._few)
        return self._held.take(np.searchsorted(self._few, cells))

    def _source(self, buffer: Buffer, epoch: int, number: int) -> CellDataset | PanelCells:
        cells = np.arange(len(buffer.cells))
        dataset = CellDataset(buffer.linear, self._codes[buffer.cells], InputKind("linear"), buffer.totals, cells)
        if self._panels is None:
            return dataset
        seed = int(epoch_rng(self.seed, _PANELS, epoch, self.share.rank, number).integers(2**62))
        return PanelCells(dataset, self._panels.of(self.rows[buffer.cells]), seed)

    def _n_fitting(self) -> int:
        """Cells that a buffer may hold."""
        n_bytes = 8 * self.reference.n_values / max(len(self.reference.totals), 1)
        return max(_SMALLEST_BUFFER, min(_MOST_CELLS, int(_LARGEST_BUFFER / max(n_bytes, 1.0))))

    def _draws(self, rng: np.random.Generator) -> np.ndarray:
        """(n,) how often each cell comes in an epoch."""
        return balanced_draws(self._codes, rng) if self.sampling == "balanced" else np.ones(len(self.rows), np.int8)

    def _small_classes(self) -> np.ndarray:
        """(n,) positions of cells of the smallest classes, as far as these are to be held in memory.

        Of balanced classes that is where a cell is drawn more than once. Otherwise it is where a class lies in so few
        blocks, as in a file sorted by class, that it would be learned from one buffer and forgotten in the next.
        """
        sizes = np.bincount(self._codes)
        if self.sampling == "balanced":
            most = _HELD
            wanted = sizes * (sizes > 0).sum() < len(self.rows)
        else:
            most = min(_HELD, self._buffer_size // 2)
            n_buffers = -(-len(self.rows) // self._buffer_size)
            wanted = (self._order.n_blocks(self._codes) < _BLOCKS_OF_CLASS * n_buffers) & (n_buffers > 1)
        small = [code for code in np.argsort(sizes, kind="stable") if sizes[code] and wanted[code]]
        held = [code for code, n_cells in zip(small, np.cumsum(sizes[small]), strict=True) if n_cells <= most]
        return np.flatnonzero(np.isin(self._codes, held))


def fitting_sizes(n_fitting: int, rows_of_chunk: int) -> tuple[int, int]:
    """Rows of a block, and cells of a buffer.

    A buffer is 256 blocks, each of two chunks, where so many cells fit into memory; then fewer, smaller blocks: 256 or
    more as long as each is a chunk, 64 or more in any case, for which chunks are divided.

    Parameters
    ----------
    n_fitting
        Cells that may be in memory.
    rows_of_chunk
        Rows of a chunk of the file.
    """
    smaller = max(n_fitting // _BLOCKS_TOGETHER, min(rows_of_chunk, n_fitting // _FEWEST_BLOCKS))
    block = max(_SMALLEST_BLOCK, min(max(BLOCK_SIZE, _CHUNKS_TOGETHER * rows_of_chunk), smaller))
    return block, min(n_fitting, max(BUFFER_SIZE, _BLOCKS_TOGETHER * block))


def together(buffers: Sequence[Buffer]) -> Buffer:
    """One below the other."""
    linear = sparse.vstack([each.linear for each in buffers], format="csr")
    linear.has_canonical_format = True
    totals, cells = (np.concatenate([each[at] for each in buffers]) for at in (1, 2))
    return Buffer(linear, totals, cells)
