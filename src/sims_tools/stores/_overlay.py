"""An HDF5 file that is added to so that it is as it was before or complete, whenever who does it is killed.

HDF5 itself does not promise this: who is killed while it writes leaves a file that may not open. So it writes through a
file object. What lies beyond the old end of the file goes there, where nothing points yet. What would change the old
bytes is kept in memory, for HDF5 to read, and forgotten in the end: what is new begins at a root group of its own, and
the file becomes another by one write of its superblock, which names that group.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from sims_tools.stores._file_bytes import read_at, sync, write_at
from sims_tools.stores._superblock import read_superblock

_PAGE = 4096


class Overlay(io.RawIOBase):
    """A file that h5py writes to; what was there before does not change, but for the superblock by :meth:`commit`.

    Parameters
    ----------
    path
        An HDF5 file, which no one else writes to meanwhile.

    Attributes
    ----------
    old_end
        Length that the file had; what begins there or later is new.
    failure
        The first thing that went wrong; what is written after it is forgotten.
    """

    def __init__(self, path: Path) -> None:
        self._dropped = self._is_kept = False
        self._file: BinaryIO = path.open("r+b", buffering=0)
        try:
            _lock(self._file, path)
            self._superblock = read_superblock(self._file)
        except BaseException:
            self._file.close()
            raise
        self.old_end = min(self._superblock.end, os.fstat(self._file.fileno()).st_size)
        self._size, self._at = self.old_end, 0
        self._changed: dict[int, bytes] = {}
        self.failure: BaseException | None = None
        self._file.truncate(self.old_end)  # what a killed run has left beyond

    def readable(self) -> bool:
        """It is."""
        return True

    def writable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """Where it stands."""
        return self._at

    def flush(self) -> None:
        """Nothing waits to be written."""

    def truncate(self, size: int | None = None) -> int:
        """Set the length that the file is to have in the end.

        What was beyond it stays readable where more is written later: HDF5 does not ask for what it has not written.
        """
        self._size = self._at if size is None else size
        return self._size

    def readinto(self, buffer: Any) -> int:
        """Read what the file would hold."""
        view = memoryview(buffer).cast("B")
        n = max(min(len(view), self._size - self._at), 0)
        try:
            self._read(view, n)
        except OSError as error:  # HDF5 would not survive it; what it does with these zeros is never kept
            self.failure = self.failure or error
            view[:n] = bytes(n)
        self._at += n
        return n

    def _read(self, view: memoryview, n: int) -> None:
        found = read_at(self._file, n, self._at)
        view[: len(found)] = found
        view[len(found) : n] = bytes(n - len(found))
        for page in range(self._at // _PAGE, -(-min(self._at + n, self.old_end) // _PAGE)):
            if page in self._changed:
                first, last = max(self._at, page * _PAGE), min(self._at + n, page * _PAGE + _PAGE, self.old_end)
                if first < last:
                    content = self._changed[page][first - page * _PAGE : last - page * _PAGE]
                    view[first - self._at : last - self._at] = content

    def write(self, data: Any) -> int:
        """Write to where the old bytes are not touched."""
        view = memoryview(data).cast("B")
        if not self._dropped and self.failure is None:
            try:
                self._write(view)
            except OSError as error:  # HDF5 would not survive it
                self.failure = error
        self._at += len(view)
        self._size = max(self._size, self._at)
        return len(view)

    def _write(self, view: memoryview) -> None:
        at, end = self._at, self._at + len(view)
        while at < min(end, self.old_end):
            page = at // _PAGE
            last = min(end, (page + 1) * _PAGE, self.old_end)
            content = bytearray(self._page(page))
            content[at - page * _PAGE : last - page * _PAGE] = view[at - self._at : last - self._at]
            self._changed[page] = bytes(content)
            at = last
        if at < end:
            write_at(self._file, view[at - self._at :], at)

    def _page(self, page: int) -> bytes:
        """A page of the old file as it would be."""
        if page in self._changed:
            return self._changed[page]
        return read_at(self._file, min(_PAGE, self.old_end - page * _PAGE), page * _PAGE)

    def commit(self, root: int) -> None:
        """Make another group the root of the file; h5py must have closed it before.

        The superblock lies within one sector of a disk, which is written whole or not at all.

        Parameters
        ----------
        root
            Where the group is. Neither it nor what is new below it may lie in the old bytes.
        """
        self._file.truncate(self._size)
        sync(self._file)
        self._is_kept = True
        write_at(self._file, self._superblock.pointing(root, self._size), 0)
        sync(self._file)

    def check(self) -> None:
        """Raise what has gone wrong so far."""
        if self.failure is not None:
            raise self.failure

    @contextmanager
    def uninterrupted(self) -> Iterator[None]:
        """Keep Ctrl-C for :meth:`check`: HDF5 would not survive it."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def keep(*_: object) -> None:
            self.failure = self.failure or KeyboardInterrupt()

        before = signal.signal(signal.SIGINT, keep)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def drop(self) -> None:
        """Leave the file as it was, unless it has a new root; whatever is written from now on is forgotten."""
        if self._dropped or self._is_kept or self._file.closed:
            return
        self._dropped = True
        self._file.truncate(self.old_end)

    def close(self) -> None:
        """Let go of the file; h5py has no more to say."""
        self.drop()
        self._file.close()
        super().close()


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep others out, as HDF5 does where it writes, until the file is closed."""
    if os.name != "posix":
        return
    import fcntl

    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OSError(f"`{path}` is open elsewhere, so nothing can be appended to it. Close it there.") from error
    except OSError:  # a file system without locks
        return
