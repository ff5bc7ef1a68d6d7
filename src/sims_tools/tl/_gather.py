"""Blocks of an annotation joined as they come, so that nothing is in memory twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from sims_tools.models._inference import Inferred

_SEGMENT = 1 << 23
"""Values in a segment: 32 MiB of four bytes each, which the system takes back whole when it is freed."""


class Growing:
    """A one-dimensional array that grows at its end, in segments; these are freed one by one when they are joined.

    Parameters
    ----------
    dtype
        Of the values.
    """

    def __init__(self, dtype: type) -> None:
        self._dtype = dtype
        self._full: list[np.ndarray] = []
        self._last: np.ndarray = np.empty(_SEGMENT, dtype)
        self._n_last = 0

    def append(self, values: np.ndarray) -> None:
        """Add values (n,) at the end."""
        while len(values):
            if self._n_last == len(self._last):
                self._full.append(self._last)
                self._last, self._n_last = np.empty(_SEGMENT, self._dtype), 0
            now, values = np.split(values, [len(self._last) - self._n_last])
            self._last[self._n_last : self._n_last + len(now)] = now
            self._n_last += len(now)

    def close(self) -> np.ndarray:
        """All values; nothing can be added after this."""
        parts = [*self._full, self._last[: self._n_last]]
        del self._full, self._last
        joined: np.ndarray = np.empty(sum(map(len, parts)), self._dtype)
        start = 0
        while parts:
            part = parts.pop(0)
            joined[start : start + len(part)] = part
            start += len(part)
            del part
        return joined


class _GrowingRows:
    """Sparse rows (n_rows, n_columns) that come block by block."""

    def __init__(self, n_rows: int, n_columns: int) -> None:
        self._shape = n_rows, n_columns
        self._indptr, self._n_rows = np.zeros(n_rows + 1, np.int64), 0
        self._indices, self._values = Growing(np.int32), Growing(np.float32)

    def append(self, block: sparse.csr_matrix) -> None:
        start, self._n_rows = self._n_rows, self._n_rows + block.shape[0]
        self._indptr[start + 1 : self._n_rows + 1] = self._indptr[start] + block.indptr[1:]
        self._indices.append(block.indices)
        self._values.append(block.data)

    def close(self) -> sparse.csr_matrix:
        indices = self._indices.close()
        return sparse.csr_matrix((self._values.close(), indices, self._indptr), shape=self._shape)


def gather(
    stream: Iterator[Inferred],
    n_obs: int,
    *,
    embedding: bool,
    keep: Callable[[Inferred, slice], sparse.csr_matrix | None] = lambda block, cells: block.masks,
) -> Inferred:
    """Join what a model says of consecutive blocks of cells.

    Parameters
    ----------
    stream
        The blocks, at least one.
    n_obs
        Cells of all blocks together.
    embedding
        Whether the embedding is kept; the result has one of no rows otherwise.
    keep
        What to keep of the masks of a block and of its rows; all by default.
    """
    start, masks, joined = 0, None, None
    for block in stream:
        if joined is None:
            joined = _allocate(block, n_obs, embedding)
        cells = slice(start, start + len(block.logits))
        joined.logits[cells], joined.empty[cells], joined.seen[cells] = block.logits, block.empty, block.seen
        if embedding:
            joined.embedding[cells] = block.embedding
        kept = keep(block, cells)
        if kept is not None:
            masks = masks or _GrowingRows(n_obs, kept.shape[1])
            masks.append(kept)
        start = cells.stop
    if joined is None or start != n_obs:
        raise RuntimeError(f"Blocks of {start} cells came; expected {n_obs}. Was the object changed meanwhile?")
    return joined if masks is None else joined._replace(masks=masks.close())


def _allocate(block: Inferred, n_obs: int, embedding: bool) -> Inferred:
    """Room for all cells, without masks."""
    return type(block)(
        np.empty((n_obs, block.logits.shape[1]), block.logits.dtype),
        np.empty((n_obs if embedding else 0, block.embedding.shape[1]), block.embedding.dtype),
        None,
        np.empty(n_obs, bool),
        np.empty(n_obs, np.int8),
    )
