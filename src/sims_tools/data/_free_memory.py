"""How much memory is left to this process."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO, _LIMIT, _USED = (
    Path("/proc/meminfo"),
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory.current"),
)

STREAM_ABOVE = 0.5
"""Share of the free memory above which a matrix is not made, but streamed."""


def fits_in_memory(n_bytes: float) -> bool:
    """Whether a matrix should be made: it takes half of the free memory at most, or nobody says how much is free."""
    free = free_memory()
    return free is None or n_bytes <= STREAM_ABOVE * free


def free_memory() -> int | None:
    """Bytes that can be had without swapping, no more than a container allows; None where nobody says."""
    found = [each for each in (_of_machine(), _of_container()) if each is not None]
    return min(found) if found else None


def _of_machine() -> int | None:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):  # not of this system
        return None


def _of_container() -> int | None:
    if not (_LIMIT.exists() and _USED.exists()):
        return None
    limit = _LIMIT.read_text().strip()
    return max(0, int(limit) - int(_USED.read_text())) if limit.isdigit() else None
