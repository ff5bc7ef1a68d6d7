"""The redo journal of a file: pages that are to be written over old ones, all of them or none."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, BinaryIO

PAGE = 4096

_MAGIC = b"sims-tools redo journal 1\n"


def journal_of(path: Path) -> Path:
    """Where the journal of a file is, from when all is written until it is applied."""
    return path.with_name(f"{path.name}.sims-journal")


def draft_of(path: Path) -> Path:
    """Where pages are gathered until they are a journal."""
    return path.with_name(f"{path.name}.sims-journal-draft")


def make_journal(path: Path, draft: BinaryIO, file: BinaryIO, pages: list[int], *, old_end: int, size: int) -> None:
    """Make a draft the journal of a file, in one step; both are on the disk then.

    Parameters
    ----------
    path
        The file.
    draft
        Holds the pages, one after the other.
    file
        The same as `path`, open; what was added at its end is in it.
    pages
        Their numbers in the file.
    old_end
        Length that the file had.
    size
        Length that it is to have.
    """
    sync(file)
    content: dict[str, Any] = {"pages": pages, "old_end": old_end, "size": size}
    content["tail"] = _tail(file, old_end, max(size, old_end))
    content["digest"] = _digest_of_pages(draft, len(pages))
    about = json.dumps(content).encode()
    write_at(draft, about + len(about).to_bytes(8, "little") + _MAGIC, len(pages) * PAGE)
    sync(draft)
    os.replace(draft_of(path), journal_of(path))
    _sync_folder(path.parent)


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
    draft_of(path).unlink(missing_ok=True)
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
        sync(file)
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


def sync(file: BinaryIO) -> None:
    """Wait until a file is on the disk."""
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # where a folder cannot be opened
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
