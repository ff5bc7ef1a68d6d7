"""In which order blocks of stored cells are visited: a function of seed and epoch, shared out between processes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Share:
    """One of several processes.

    Attributes
    ----------
    rank
        Its number, from 0.
    world
        How many there are.
    """

    rank: int = 0
    world: int = 1

    def size(self, n: int) -> int:
        """How many of n draws each process takes: all the same, for which some are made again."""
        return -(-n // self.world)

    def own(self, draws: np.ndarray) -> np.ndarray:
        """Those of all draws (n,) that the process takes."""
        if not len(draws):
            return draws
        size = self.size(len(draws))
        return draws[np.arange(self.rank * size, (self.rank + 1) * size) % len(draws)]


class BlockOrder:
    """Visits to blocks of cells, in shuffled order.

    A block is a run of rows. Of those, the cells that are wanted are drawn at a visit. A cell that is to be drawn more
    than once in an epoch is drawn at so many visits to its block, none of which need be near another.

    Visits come in groups, each of which is spread over all rows: of so many neighbouring visits as there are groups,
    every group gets one, by chance. So groups are like the whole where neighbours are alike, as in a file sorted by
    class.

    Parameters
    ----------
    rows
        (n,) rows of the wanted cells, rising.
    starts
        Row at which each block begins, rising, from 0.
    """

    def __init__(self, rows: np.ndarray, starts: np.ndarray) -> None:
        self._ends = np.append(np.searchsorted(rows, starts[1:]), len(rows))
        self._begins = np.append(0, self._ends[:-1])

    def n_blocks(self, codes: np.ndarray) -> np.ndarray:
        """(n_classes,) blocks that hold cells of each class, of which (n,) cells have codes."""
        block_of = np.repeat(np.arange(len(self._begins)), self._ends - self._begins)
        n_classes = int(codes.max()) + 1
        return np.bincount(np.unique(block_of * n_classes + codes) % n_classes, minlength=n_classes)

    def visits(
        self, draws: np.ndarray | None, rng: np.random.Generator, share: Share, n_of_group: int
    ) -> Iterator[np.ndarray]:
        """Positions of the cells to draw at each visit, rising, of the visits of one process.

        Parameters
        ----------
        draws
            (n,) how often each cell is drawn; None is once.
        rng
            The same for all processes.
        share
            The process. Its share begins and ends within a visit, where that makes shares equally large; the last
            process draws the first cells again.
        n_of_group
            Cells of a group, about.
        """
        blocks, laps, counts = self._laps(draws)
        order = _in_groups(len(blocks), -(-int(counts.sum()) // n_of_group), rng)
        blocks, laps, counts = blocks[order], laps[order], counts[order]
        ends = np.cumsum(counts)
        n = int(ends[-1]) if len(ends) else 0
        size = share.size(n)
        start = share.rank * size
        yield from self._between(draws, blocks, laps, ends, min(start, n), min(start + size, n))
        missing = size - max(0, min(start + size, n) - min(start, n))
        while missing > 0 and n:
            again = min(missing, n)
            yield from self._between(draws, blocks, laps, ends, 0, again)
            missing -= again

    def _between(
        self, draws: np.ndarray | None, blocks: np.ndarray, laps: np.ndarray, ends: np.ndarray, start: int, stop: int
    ) -> Iterator[np.ndarray]:
        """The draws from one of all to another."""
        if start >= stop:
            return
        first = int(np.searchsorted(ends, start, side="right"))
        for visit in range(first, len(ends)):
            before = int(ends[visit - 1]) if visit else 0
            if before >= stop:
                return
            cells = np.arange(self._begins[blocks[visit]], self._ends[blocks[visit]])
            if draws is not None:
                cells = cells[draws[cells] > laps[visit]]
            yield cells[max(0, start - before) : stop - before]

    def _laps(self, draws: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Block, number and size of each visit."""
        n_blocks, found = len(self._begins), []
        if draws is None:
            counts = self._ends - self._begins
            blocks = np.flatnonzero(counts)
            return blocks, np.zeros(len(blocks), np.int64), counts[blocks]
        block_of = np.repeat(np.arange(n_blocks), self._ends - self._begins)
        left, lap = np.flatnonzero(draws > 0), 0
        while len(left):
            counts = np.bincount(block_of[left], minlength=n_blocks)
            blocks = np.flatnonzero(counts)
            found.append((blocks, np.full(len(blocks), lap), counts[blocks]))
            lap += 1
            left = left[draws[left] > lap]
        if not found:
            return (np.empty(0, np.int64),) * 3
        blocks, laps, sizes = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.argsort(blocks, kind="stable")
        return blocks[order], laps[order], sizes[order]


def _in_groups(n: int, n_groups: int, rng: np.random.Generator) -> np.ndarray:
    """An order of n, group after group, each by chance, of which each holds one of `n_groups` neighbours."""
    stratum = np.arange(n) // max(n_groups, 1)
    by_chance = np.lexsort((rng.random(n), stratum))
    group = np.empty(n, np.int64)
    group[by_chance] = np.arange(n) % max(n_groups, 1)
    return np.lexsort((rng.random(n), group))
