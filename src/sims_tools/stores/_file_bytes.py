"""Bytes at places of a file."""

from __future__ import annotations

import os
from typing import Any, BinaryIO


def write_at(file: BinaryIO, data: Any, at: int) -> None:
    """Write all bytes at a place of a file."""
    view = memoryview(data).cast("B")
    file.seek(at)
    while len(view):
        view = view[file.write(view) :]


def read_at(file: BinaryIO, n: int, at: int) -> bytes:
    """Bytes at a place of a file, fewer than asked for at its end."""
    file.seek(at)
    found = file.read(n)
    while 0 < len(found) < n and (more := file.read(n - len(found))):
        found += more
    return found


def sync(file: BinaryIO) -> None:
    """Wait until a file is on the disk."""
    os.fsync(file.fileno())
