"""An HDF5 file that is added to so that it is, at every moment, as it was before or complete.

HDF5 itself does not promise this: who is killed while it writes leaves a file that may not open. So it writes through a
file object. What lies beyond the old end of the file goes there at once, where nothing points yet. What would change
the old bytes, a few pages of descriptions, goes to a draft beside the file. When HDF5 has closed the file, the draft is
made a journal in one step, and only then are its pages written over those of the file. A journal that is found later is
applied again.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

PAGE = 4096

_MAGIC = b"sims-tools redo journal 1\n"


def journal_of(path: Path) -> Path:
    """Where the journal of a file is, from when all is written until it is applied."""
    return path.with_name(f"{path.name}.sims-journal")


def _draft_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sims-journal-draft")


class Overlay(io.RawIOBase):
    """A file that h5py writes to; nothing of it that was there before changes until :meth:`commit`.

    Parameters
    ----------
    path
        An HDF5 file, which no one else writes to meanwhile.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._dropped = path, False
        self._file: BinaryIO = path.open("r+b", buffering=0)
        _lock(self._file, path)
        self.old_end = end_of_hdf5(self._file)
        self._size, self._at = self.old_end, 0
        self._slots: dict[int, int] = {}
        self.failure: BaseException | None = None
        self._file.truncate(self.old_end)  # what a killed run has left beyond
        self._draft: BinaryIO = _draft_of(path).open("w+b", buffering=0)

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
        """Set the length that the file is to have in the end."""
        self._size = self._at if size is None else size
        return self._size

    def readinto(self, buffer: Any) -> int:
        """Read what the file would hold."""
        view = memoryview(buffer).cast("B")
        n = max(min(len(view), self._size - self._at), 0)
        found = read_at(self._file, n, self._at)
        view[: len(found)] = found
        view[len(found) : n] = bytes(n - len(found))
        for page in range(self._at // PAGE, -(-min(self._at + n, self.old_end) // PAGE)):
            if page in self._slots:
                first, last = max(self._at, page * PAGE), min(self._at + n, page * PAGE + PAGE, self.old_end)
                view[first - self._at : last - self._at] = self._page(page)[first - page * PAGE : last - page * PAGE]
        self._at += n
        return n

    def write(self, data: Any) -> int:
        """Write to where the old bytes are not touched."""
        view = memoryview(data).cast("B")
        if not self._dropped:
            try:
                self._write(view)
            except BaseException as error:
                self.failure = self.failure or error
                raise
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
        if self._size > self.old_end:
            self._file.truncate(self._size)
        _sync(self._file)
        size = max(self._size, self.old_end)
        pages = sorted(self._slots, key=self._slots.__getitem__)
        draft = self._draft
        content = {"pages": pages, "old_end": self.old_end, "size": self._size}
        content["tail"] = _tail(self._file, self.old_end, size)
        content["digest"] = _digest_of_pages(draft, len(pages))
        about = json.dumps(content).encode()
        write_at(draft, about + len(about).to_bytes(8, "little") + _MAGIC, len(pages) * PAGE)
        _sync(draft)
        self._release()
        os.replace(_draft_of(self._path), journal_of(self._path))
        _sync_folder(self._path.parent)
        apply_journal(self._path)

    def drop(self) -> None:
        """Leave the file as it was; whatever is written from now on is forgotten."""
        if self._dropped or self._file.closed:
            return
        self._dropped = True
        self._file.truncate(self.old_end)
        self._draft.close()
        _draft_of(self._path).unlink(missing_ok=True)

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


def recover(path: Path) -> None:
    """Finish or forget what a killed run was about to change.

    Parameters
    ----------
    path
        An HDF5 file. With a journal it is completed; without one it is as it was, and a draft is deleted.

    Raises
    ------
    ValueError
        The journal is not of this file, or damaged.
    """
    _draft_of(path).unlink(missing_ok=True)
    if journal_of(path).exists():
        apply_journal(path)


def apply_journal(path: Path) -> None:
    """Write the pages of a journal over those of its file, and delete it; to do so twice does no harm."""
    journal = journal_of(path)
    with journal.open("rb") as pages, path.open("r+b", buffering=0) as file:
        about = _read_about(journal, pages)
        _check_journal(path, journal, file, about)
        for slot, page in enumerate(about["pages"]):
            content = read_at(pages, PAGE, slot * PAGE)
            write_at(file, content[: about["old_end"] - page * PAGE], page * PAGE)
        file.truncate(about["size"])
        _sync(file)
    journal.unlink()


def _read_about(journal: Path, pages: BinaryIO) -> dict[str, Any]:
    end = os.fstat(pages.fileno()).st_size - len(_MAGIC)
    try:
        if read_at(pages, len(_MAGIC), end) != _MAGIC:
            raise ValueError("it does not end as one")
        length = int.from_bytes(read_at(pages, 8, end - 8), "little")
        about: dict[str, Any] = json.loads(read_at(pages, length, end - 8 - length))
        if about["digest"] != _digest_of_pages(pages, len(about["pages"])):
            raise ValueError("its digest is another")
    except (ValueError, KeyError, OSError) as error:
        raise ValueError(f"`{journal}` is no journal of sims-tools, or it is damaged ({error}); delete it.") from error
    return about


def _check_journal(path: Path, journal: Path, file: BinaryIO, about: dict[str, Any]) -> None:
    """Refuse a journal of another file, or of this one before someone else changed it."""
    length, size = os.fstat(file.fileno()).st_size, max(about["size"], about["old_end"])
    same = length in (size, about["size"]) and _tail(file, about["old_end"], size) == about["tail"]
    if not same:
        raise ValueError(
            f"`{journal}` is of another file than `{path}`, or the file was changed after the run that wrote it was "
            "killed. Delete the journal if the file opens as it should, otherwise take the file from a backup."
        )


def _tail(file: BinaryIO, start: int, stop: int) -> str:
    """Digest of the first and last bytes that were added."""
    first = read_at(file, min(PAGE, stop - start), start)
    last = read_at(file, min(PAGE, stop - start), max(stop - PAGE, start))
    return hashlib.blake2b(first + last, digest_size=16).hexdigest()


def _digest_of_pages(pages: BinaryIO, n_pages: int) -> str:
    found = hashlib.blake2b(digest_size=16)
    for slot in range(n_pages):
        found.update(read_at(pages, PAGE, slot * PAGE))
    return found.hexdigest()


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


def _sync(file: BinaryIO) -> None:
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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
