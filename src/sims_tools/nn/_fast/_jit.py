"""How kernels are compiled, and run on several threads with the same result on any number of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
import numpy as np
import torch

Array = np.ndarray
"""Of a kernel: any type of number, C-contiguous unless it says otherwise."""

ROWS = 16
"""Cells of a task that goes over cells one by one."""

_FASTMATH = {"contract", "reassoc", "nsz", "arcp"}  # NaN and infinity keep their meaning
_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",
    "fastmath": _FASTMATH,
    "no_cfunc_wrapper": True,
    "forceinline": True,  # a kernel that calls another takes whichever copy the process met first, and they round apart
}


def compiled(function: Callable) -> Callable:
    """Compile for the types of the arguments at the first call; the result is kept on disk where that is possible."""
    try:
        return numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # no folder can be written: compile in each process
        return numba.njit(function, **_OPTIONS)


def inlined(function: Callable) -> Callable:
    """Compile as a part of each kernel that calls it, and not on its own."""
    return numba.njit(function, inline="always", **_OPTIONS)


def _nothing() -> None:
    """No work."""


class _Helper(threading.Thread):
    """A thread that waits for work without spinning, at less cost than a pool of the standard library."""

    def __init__(self) -> None:
        super().__init__(name="sims-tools", daemon=True)
        self._wake, self._done = threading.Lock(), threading.Lock()
        self._wake.acquire()
        self._done.acquire()
        self._work: Callable[[], None] = _nothing
        self._error: BaseException | None = None
        self.start()

    def run(self) -> None:
        while True:
            self._wake.acquire()
            try:
                self._work()
            except BaseException as error:  # noqa: BLE001 - raised again where the work was asked for
                self._error = error
            self._work = _nothing
            self._done.release()

    def begin(self, work: Callable[[], None]) -> None:
        """Begin a piece of work; :meth:`end` must follow."""
        self._work = work
        self._wake.release()

    def end(self) -> BaseException | None:
        """Wait until it is done; the error it ended with, if any."""
        self._done.acquire()
        error, self._error = self._error, None
        return error


class _Helpers:
    """Helpers that are free; threads do not outlive a fork, so a forked process begins anew."""

    def __init__(self) -> None:
        self.n_threads: int | None = None
        self._free: list[_Helper] = []
        self._process = os.getpid()

    def take(self, n: int) -> list[_Helper]:
        """So many helpers; nobody else has them until they are given back."""
        if self._process != os.getpid():
            self._free, self._process = [], os.getpid()
        taken: list[_Helper] = []
        while len(taken) < n:
            try:
                taken.append(self._free.pop())
            except IndexError:
                taken.append(_Helper())
        return taken

    def give_back(self, helpers: list[_Helper]) -> None:
        """Let others have them."""
        self._free.extend(helpers)


_helpers = _Helpers()


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
    n_threads = min(_helpers.n_threads or torch.get_num_threads(), n_tasks)
    tasks = iter(range(n_tasks))

    def work() -> None:
        for task in tasks:  # the interpreter lock makes each task be taken once
            kernel(task, *args)

    if n_threads < 2:
        work()
        return
    helpers = _helpers.take(n_threads - 1)
    for each in helpers:
        each.begin(work)
    try:
        work()
    finally:
        errors = [each.end() for each in helpers]
        _helpers.give_back(helpers)
    for error in errors:
        if error is not None:
            raise error


@contextmanager
def kernel_threads(n_threads: int | None) -> Iterator[None]:
    """Run kernels on so many threads inside the block, whatever torch's own number is; None takes torch's."""
    before = _helpers.n_threads
    _helpers.n_threads = n_threads
    try:
        yield
    finally:
        _helpers.n_threads = before
