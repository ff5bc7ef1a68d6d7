"""Parts on the workers of a dask cluster."""

from __future__ import annotations

import hashlib
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from sims_tools import __version__
from sims_tools.stores._resources import Part, Resources, n_devices, turn

_WAITING = 2
"""Parts that each worker has at a time: one that it computes, and the next."""

_FEWEST = 8
"""Parts that are handed out at a time at least, so that a cluster that grows by need sees that there is some."""

_one_part = threading.Lock()
"""A process computes one part at a time, with all threads that its worker has: torch's threads are the process's."""


def active_client() -> Any | None:
    """The `dask.distributed` client of this process; None where there is none, or this is a task of a worker.

    Raises
    ------
    RuntimeError
        The client is asynchronous.
    """
    distributed = sys.modules.get("distributed")  # nobody without a client pays for the import
    if distributed is None or _is_task(distributed):
        return None
    try:
        client = distributed.default_client()
    except ValueError:
        return None
    if client.asynchronous:
        raise RuntimeError(
            "The active dask client is asynchronous, so nothing can wait for its workers. Close it, make one without "
            "`asynchronous=True`, or give `n_jobs=1` to work without it."
        )
    return client


def _is_task(distributed: Any) -> bool:
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return True


@dataclass(frozen=True)
class SharedFile:
    """A file that client and workers have to see as one and the same.

    Attributes
    ----------
    path
        Absolute.
    digest
        Of what is in it.
    """

    path: str
    digest: str

    @classmethod
    def of(cls, path: Path) -> SharedFile:
        """The file as it is now."""
        return cls(str(path.absolute()), _digest(path))

    def check(self) -> None:
        """Raise RuntimeError unless this process sees the same file."""
        path = Path(self.path)
        if not path.is_file() or _digest(path) != self.digest:
            raise RuntimeError(
                f"A dask worker does not see `{self.path}` as the client does. Parts are exchanged through files: put "
                "store and output where client and all workers have them under the same path, or annotate without a "
                "client."
            )


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_on_dask(
    client: Any, function: Callable[..., Any], job: Any, parts: Sequence[Part], plan_file: Path
) -> Generator[Any]:
    """Results of the parts, as they come; the scheduler gives them to workers that are free.

    A worker that dies costs the parts it had: the scheduler gives them to others.

    Parameters
    ----------
    client
        A connected `distributed.Client`.
    function
        Of a module; called there as `function(job, start, stop, resources)`.
    job, parts
        What to do. The scheduler passes both on unread, so it does not import what they need.
    plan_file
        Lies in the folder that is shared.

    Raises
    ------
    RuntimeError
        A worker does not share the folder, has another version of the package, or died over a part again and again;
        or the cluster is gone.
    """
    from distributed import as_completed
    from distributed.protocol.pickle import dumps

    name = f"{function.__name__.strip('_')}-{uuid4().hex[:8]}"
    what = (__version__, SharedFile.of(plan_file), dumps((function, job)))
    left, done = deque(enumerate(parts)), as_completed(loop=client.loop)
    pending: dict[str, tuple[Any, Part]] = {}

    def begin_some() -> None:
        while left and len(pending) < max(_FEWEST, _WAITING * len(client.ncores())):
            number, part = left.popleft()
            future = client.submit(_compute, *what, part, key=f"{name}-{number}", pure=False)
            pending[future.key] = (future, part)
            done.add(future)

    try:
        begin_some()
        for future in done:
            _, part = pending.pop(future.key)
            yield _result(future, part)
            begin_some()
    finally:
        if client.status == "running":
            client.cancel([future for future, _ in pending.values()])


def _result(future: Any, part: Part) -> Any:
    """What a task returned, or what it raised."""
    from distributed import KilledWorker
    from distributed.client import FutureCancelledError

    try:
        return future.result()
    except FutureCancelledError as error:
        raise RuntimeError(
            f"The dask cluster does not answer any more, or cancelled rows {part[0]:,} to {part[1]:,} ({error}). Parts "
            "that are finished are kept: `resume=True` goes on from there."
        ) from error
    except KilledWorker as error:
        raise RuntimeError(
            f"Workers died {error.allowed_failures + 1} times while they had rows {part[0]:,} to {part[1]:,}; most "
            "often their memory has run out. Give them more, or use smaller parts. Parts that are finished are kept: "
            "`resume=True` goes on from there."
        ) from error


def _compute(version: str, plan_file: SharedFile, packed: bytes, part: Part) -> Any:
    """A task: one part, in a worker."""
    from distributed.protocol.pickle import loads

    if version != __version__:
        raise RuntimeError(
            f"A dask worker has sims-tools {__version__}, the client {version}. Install the same version on both."
        )
    plan_file.check()
    function, job = loads(packed)
    with _one_part:
        return function(job, *part, _own_resources())


def _own_resources() -> Resources:
    """All threads of the worker that this task runs in, and its turn of the GPUs."""
    from distributed import get_worker

    worker, found = get_worker(), n_devices()
    if found < 2 or "dask_cuda" in sys.modules:  # dask-cuda lets each worker see its own device first
        return Resources(worker.state.nthreads, 0 if found else None)
    return Resources(worker.state.nthreads, turn(_beside(worker), worker.address, found))


def _beside(worker: Any) -> list[str]:
    """Addresses of all workers of the same machine."""
    from distributed import get_client
    from distributed.comm import get_address_host

    addresses, host = get_client().ncores(), get_address_host(worker.address)
    return [each for each in addresses if get_address_host(each) == host]
