"""Memory of large arrays, used again once nobody holds them."""

from __future__ import annotations

import math
import mmap
import threading
from typing import Any

import numpy as np

_CACHE_LINE = 64
_LARGE = 1 << 16
"""Bytes from which on memory is worth keeping: the system fetches it page by page, each time anew."""

_KEPT = 1 << 27
"""Bytes that are kept at most while nobody uses them; when there are more, all go, as sizes may have changed."""


class _Pool:
    """Pieces of memory that are free, by size."""

    def __init__(self) -> None:
        self._lock, self._free, self._kept = threading.Lock(), dict[int, list[np.ndarray]](), 0

    def take(self, size: int) -> np.ndarray:
        with self._lock:
            if known := self._free.get(size):
                self._kept -= size
                return known.pop()
        return np.empty(size, np.uint8)

    def give_back(self, memory: np.ndarray) -> None:
        """Keep it, unless it is large or the pool in use: this is called wherever the last reference happens to go."""
        if len(memory) > _KEPT or not self._lock.acquire(blocking=False):
            return
        try:
            if self._kept + len(memory) > _KEPT:
                self._free, self._kept = {}, 0
            self._free.setdefault(len(memory), []).append(memory)
            self._kept += len(memory)
        finally:
            self._lock.release()

    def clear(self) -> None:
        with self._lock:
            self._free, self._kept = {}, 0


_pool = _Pool()


class _Loan:
    """Memory that goes back to the pool with the last array that lies in it."""

    def __init__(self, size: int) -> None:
        self._memory = _pool.take(size)
        self.__array_interface__ = self._memory.__array_interface__

    def __del__(self, pool: _Pool = _pool) -> None:  # other names may be gone when Python ends
        pool.give_back(self._memory)


def unset(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of unset values that begins where a line of the cache does, so that vectors do not lie across two."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    size = n_bytes + _CACHE_LINE
    step = 1 << max(size.bit_length() - 4, 0)  # few sizes, so that what is free fits
    memory = np.empty(size, np.uint8) if size < _LARGE else np.asarray(_Loan(-(-size // step) * step))
    start = -memory.__array_interface__["data"][0] % _CACHE_LINE
    return memory[start : start + n_bytes].view(dtype).reshape(shape)


def reserved(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of unset values of which few will be written: it takes memory where they are, a small page at a time.

    Large arrays of numpy are fetched in pages of megabytes where the system has them. It is not used again.
    """
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes < _LARGE:
        return np.empty(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, n_bytes), dtype).reshape(shape)


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """The same, all zero."""
    out = unset(shape, dtype)
    out[...] = 0
    return out


def like(array: np.ndarray) -> np.ndarray:
    """Unset values in the shape and of the type of another array."""
    return unset(array.shape, array.dtype)


def release_memory() -> None:
    """Give what is free back to the system."""
    _pool.clear()
