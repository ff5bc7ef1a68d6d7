"""Extra peak memory of a block of code, as the operating system counts it."""

from __future__ import annotations

import ctypes
import gc
import re
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Watermark:
    """Bytes by which the resident memory of the process rose above its start inside the block, at its highest.

    What was freed before is first given back to the system, so that its reuse counts. Linux only: elsewhere `extra`
    stays None.
    """

    extra: int | None = None

    def __enter__(self) -> Watermark:
        gc.collect()
        if STATUS.exists():
            ctypes.CDLL(None).malloc_trim(0)
            CLEAR.write_text("5")
            self._before = _status("VmRSS")
        return self

    def __exit__(self, *_: object) -> None:
        if STATUS.exists():
            self.extra = _status("VmHWM") - self._before


def _status(key: str) -> int:
    """Bytes of a line of the process's status."""
    found = re.search(rf"^{key}:\s+(\d+) kB", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{STATUS} has no line {key!r}.")
    return int(found[1]) * 1024
