"""How kernels are compiled, and run on several threads with the same result on any number of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
import torch

Array = np.ndarray
"""Of a kernel: any type of number, C-contiguous unless it says otherwise."""

_FASTMATH = {"contract", "reassoc", "nsz", "arcp"}  # NaN and infinity keep their meaning
_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": _FASTMATH}


def compiled(function: Callable) -> Callable:
    """Compile for the types of the arguments at the first call; the result is kept on disk where that is possible."""
    try:
        return numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # no folder can be written: compile in each process
        return numba.njit(function, **_OPTIONS)


class _Workers:
    """Threads that wait for work without spinning; made at first use, anew in a forked process."""

    def __init__(self) -> None:
        self.n_threads: int | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._size = self._process = 0

    def pool(self, size: int) -> ThreadPoolExecutor:
        """A pool of at least `size` threads."""
        if self._pool is None or self._size < size or self._process != os.getpid():
            self._pool = ThreadPoolExecutor(size, thread_name_prefix="sims-tools")
            self._size, self._process = size, os.getpid()
        return self._pool


_workers = _Workers()


def run_tasks(kernel: Callable, n_tasks: int, *args: Any) -> None:
    """Call `kernel(task, *args)` for each task, on as many threads as torch uses.

    Tasks must not depend on each other. What a task computes may not depend on the thread that runs it, so results are
    the same, bit for bit, on any number of threads.

    Parameters
    ----------
    kernel
        A :func:`compiled` function that writes into its arguments.
    n_tasks
        Number of tasks, fixed by the data, not by the machine.
    *args
        Arguments after the task's number.
    """
    n_threads = min(_workers.n_threads or torch.get_num_threads(), n_tasks)
    tasks = iter(range(n_tasks))

    def work() -> None:
        for task in tasks:  # the interpreter lock makes each task be taken once
            kernel(task, *args)

    helpers = [_workers.pool(n_threads - 1).submit(work) for _ in range(n_threads - 1)] if n_threads > 1 else []
    try:
        work()
    finally:
        wait(helpers)
    for each in helpers:
        each.result()


@contextmanager
def kernel_threads(n_threads: int | None) -> Iterator[None]:
    """Run kernels on so many threads inside the block, whatever torch's own number is; None takes torch's."""
    before = _workers.n_threads
    _workers.n_threads = n_threads
    try:
        yield
    finally:
        _workers.n_threads = before
