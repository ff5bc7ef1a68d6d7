"""An HDF5 file that is added to so that it is as it was before or complete, whenever who does it is killed.

HDF5 itself does not promise this: who is killed while it writes leaves a file that may not open. So it writes through a
file object. What lies beyond the old end of the file goes there at once, where nothing points yet. What would change
the old bytes, a few pages of descriptions, goes to a draft beside the file. When HDF5 has closed the file, the draft is
made a journal in one step, and only then are its pages written over those of the file, which takes no longer than so
many small writes. Who is killed in between leaves the journal, and it is applied when the file is next annotated.
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

from sims_tools.stores._journal import PAGE, apply_journal, draft_of, journal_of, make_journal, read_at, write_at


class Overlay(io.RawIOBase):
    """A file that h5py writes to; nothing of it that was there before changes until :meth:`commit`.

    Parameters
    ----------
    path
        An HDF5 file, which no one else writes to meanwhile.

    Attributes
    ----------
    failure
        The first thing that went wrong; what is written after it is forgotten.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._dropped, self._is_kept = path, False, False
        self._file: BinaryIO = path.open("r+b", buffering=0)
        _lock(self._file, path)
        self.old_end = end_of_hdf5(self._file)
        self._size, self._at = self.old_end, 0
        self._slots: dict[int, int] = {}
        self.failure: BaseException | None = None
        self._file.truncate(self.old_end)  # what a killed run has left beyond
        self._draft: BinaryIO = draft_of(path).open("w+b", buffering=0)

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
        for page in range(self._at // PAGE, -(-min(self._at + n, self.old_end) // PAGE)):
            if page in self._slots:
                first, last = max(self._at, page * PAGE), min(self._at + n, page * PAGE + PAGE, self.old_end)
                if first < last:
                    content = self._page(page)[first - page * PAGE : last - page * PAGE]
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
            page = at // PAGE
            last = min(end, (page + 1) * PAGE, self.old_end)
            content = bytearray(self._page(page))
            content[at - page * PAGE : last - page * PAGE] = view[at - self._at : last - self._at]
            slot = self._slots.setdefault(page, len(self._slots))
            write_at(self._draft, content, slot * PAGE)
            at = last
        if at < end:
            write_at(self._file, view[at - self._at :], at)

    def _page(self, page: int) -> bytes:
        """A page of the old file as it would be; zeros stand beyond its end."""
        if page in self._slots:
            return read_at(self._draft, PAGE, self._slots[page] * PAGE)
        found = read_at(self._file, min(PAGE, self.old_end - page * PAGE), page * PAGE)
        return found + bytes(PAGE - len(found))

    def commit(self) -> None:
        """Make the changes; h5py must have closed its file before."""
        self._file.truncate(max(self._size, self.old_end))
        pages = sorted(self._slots, key=self._slots.__getitem__)
        self._is_kept = True
        try:
            make_journal(self._path, self._draft, self._file, pages, old_end=self.old_end, size=self._size)
        except BaseException:
            self._is_kept = journal_of(self._path).exists()
            raise
        apply_journal(self._path)
        self._release()

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
        """Leave the file as it was, unless there is a journal; whatever is written from now on is forgotten."""
        if self._dropped or self._is_kept or self._file.closed:
            return
        self._dropped = True
        self._file.truncate(self.old_end)
        self._draft.close()
        draft_of(self._path).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file; h5py has no more to say."""
        self.drop()
        self._release()
        super().close()

    def _release(self) -> None:
        self._file.close()
        self._draft.close()


def check_closed(path: Path) -> None:
    """Raise OSError where someone has a file open."""
    with path.open("r+b", buffering=0) as file:
        _lock(file, path)


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


def end_of_hdf5(file: BinaryIO) -> int:
    """The length that an HDF5 file has by its own account; more than that holds nothing.

    Of a file that begins with a block of someone else's, and of versions not known here, it is that of the file. It
    stands in the superblock, at a place that depends on its version (HDF5 File Format Specification, section II.A).
    """
    length = os.fstat(file.fileno()).st_size
    start = 0
    while start < length:
        head = read_at(file, 96, start)
        if head[:8] == b"\x89HDF\r\n\x1a\n":
            place = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8])
            width = head[13] if head[8] < 2 else head[9]
            if place is None or width != 8:
                return length
            first, end = (int.from_bytes(head[at : at + 8], "little") for at in (place - 16, place))
            return length if first else min(end, length)
        start = start * 2 or 512
    raise ValueError("There is no HDF5 superblock in the file: it is damaged, or of another kind.")
