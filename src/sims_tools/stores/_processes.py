"""Parts side by side in processes of this machine."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack
from typing import Any

from sims_tools._log import logger
from sims_tools.stores._resources import Part, Resources, device_ids, n_devices

MOST_ATTEMPTS = 3
"""How often a part is begun whose process ends without a word."""

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def run_in_processes(
    function: Callable[..., Any], job: Any, parts: Sequence[Part], n_jobs: int, n_threads: int
) -> Generator[Any]:
    """Results of the parts, as they come; each process computes one part after the other.

    A process that ends without a word costs the part it was at: another process takes its place and the part begins
    anew.

    Parameters
    ----------
    function
        Called as `function(job, start, stop, resources)`; both are picklable.
    job, parts
        What to do.
    n_jobs
        Number of processes. Where there are CUDA devices each sees one of them, in turns.
    n_threads
        Of all processes together.

    Raises
    ------
    RuntimeError
        The process of a part ended without a word three times.
    """
    devices = device_ids(os.environ, n_devices())
    resources = Resources(max(1, n_threads // n_jobs))
    left = deque((part, 1) for part in parts)
    with ExitStack() as stack:
        free = [stack.enter_context(_Process(number, resources, devices)) for number in range(min(n_jobs, len(parts)))]
        busy: dict[Future[Any], tuple[_Process, Part, int]] = {}
        while left or busy:
            while left and free:
                process, (part, attempt) = free.pop(), left.popleft()
                busy[process.submit(function, job, *part, resources)] = (process, part, attempt)
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                process, part, attempt = busy.pop(future)
                free.append(process)
                if process.died(future):
                    _check_attempts(part, attempt)
                    left.appendleft((part, attempt + 1))
                else:
                    yield future.result()


def _check_attempts(part: Part, attempt: int) -> None:
    """Say that a process died; raise where that was the last attempt."""
    what = f"The process that annotated rows {part[0]:,} to {part[1]:,} ended without a word"
    if attempt >= MOST_ATTEMPTS:
        raise RuntimeError(
            f"{what}, {attempt} times; most often memory has run out. Use fewer processes (`n_jobs`) or smaller parts. "
            "Parts that are finished are kept: `resume=True` goes on from there."
        )
    logger.warning("%s; the part begins anew in another.", what)


class _Process:
    """A process that computes one part at a time, and is replaced when it dies.

    Parameters
    ----------
    number
        Which of the processes it is.
    resources
        What it may use.
    devices
        CUDA devices of the machine; it sees one of them.
    """

    def __init__(self, number: int, resources: Resources, devices: Sequence[str]) -> None:
        self._environment = dict.fromkeys(_THREADS, str(resources.n_threads))
        if devices:
            self._environment["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        self._pool: Any = None

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        self._end(at_once=error is not None)

    def submit(self, function: Callable[..., Any], *args: Any) -> Future[Any]:
        """Begin a call."""
        from joblib.externals.loky import ProcessPoolExecutor

        if self._pool is None:
            self._pool = ProcessPoolExecutor(max_workers=1, env=self._environment)
        return self._pool.submit(function, *args)

    def died(self, future: Future[Any]) -> bool:
        """Whether the process ended before the call did."""
        from concurrent.futures.process import BrokenProcessPool

        if not isinstance(future.exception(), BrokenProcessPool):
            return False
        self._end(at_once=True)
        return True

    def _end(self, *, at_once: bool) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, kill_workers=at_once)
            self._pool = None


def count_processes(n_jobs: int, n_found: int) -> int:
    """Number of processes: -1 stands for one for each CUDA device, or for each core where there are none.

    Parameters
    ----------
    n_jobs
        As asked.
    n_found
        CUDA devices.

    Raises
    ------
    ValueError
        It is 0 or below -1.
    """
    if n_jobs == -1:
        from joblib import cpu_count

        return n_found or cpu_count()
    if n_jobs < 1:
        raise ValueError(f"`n_jobs={n_jobs!r}` must be a number of processes, or -1 for one for each GPU or core.")
    return n_jobs
