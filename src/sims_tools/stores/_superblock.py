"""The superblock of an HDF5 file: the few bytes that say where its root group is and where it ends.

Source: HDF5 File Format Specification, section II.A.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import BinaryIO

from sims_tools.stores._file_bytes import read_at

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_WORD = 1 << 32

# Places of: width of addresses, base address, end of the file, address of the root group; length
_OLD = {0: (13, 24, 40, 64, 96), 1: (13, 28, 44, 68, 100)}
_NEW = {2: (9, 12, 28, 36, 48), 3: (9, 12, 28, 36, 48)}
_PLACES = _OLD | _NEW


@dataclass(frozen=True)
class Superblock:
    """What a file says of itself.

    Attributes
    ----------
    content
        The bytes.
    """

    content: bytes

    @property
    def version(self) -> int:
        """Version of the format."""
        return self.content[8]

    @property
    def end(self) -> int:
        """Length of the file by its own account; more than that holds nothing."""
        return self._number(_PLACES[self.version][2])

    @property
    def root(self) -> int:
        """Where the root group is."""
        return self._number(_PLACES[self.version][3])

    @property
    def is_usual(self) -> bool:
        """Whether addresses are counted from the start of the file, in 8 bytes, and its checksum is understood."""
        width, base, *_ = _PLACES[self.version]
        return (
            self.content[width] == 8
            and self._number(base) == 0
            and (self.version in _OLD or self.pointing(self.root, self.end) == self.content)
        )

    def _number(self, at: int) -> int:
        return int.from_bytes(self.content[at : at + 8], "little")

    def pointing(self, root: int, end: int) -> bytes:
        """The same of a file with another root group, and another length."""
        _, _, at_end, at_root, _ = _PLACES[self.version]
        content = bytearray(self.content)
        content[at_end : at_end + 8] = end.to_bytes(8, "little")
        content[at_root : at_root + 8] = root.to_bytes(8, "little")
        if self.version in _OLD:
            content[at_root + 8 : at_root + 12] = bytes(4)  # what follows says nothing more of the group
            content[at_root + 16 : at_root + 32] = bytes(16)
        else:
            content[-4:] = _checksum(bytes(content[:-4])).to_bytes(4, "little")
        return bytes(content)


def read_superblock(file: BinaryIO) -> Superblock:
    """Read the superblock of a file.

    Parameters
    ----------
    file
        The file.

    Raises
    ------
    ValueError
        There is none, or it is of a kind that results cannot be appended to.
    """
    start, length = 0, os.fstat(file.fileno()).st_size
    while read_at(file, 8, start) != _SIGNATURE:
        start = start * 2 or 512
        if start >= length:
            raise ValueError("There is no HDF5 superblock in the file: it is damaged, or of another kind.")
    found = Superblock(read_at(file, 100, start))
    if start == 0 and found.version in _PLACES:
        found = Superblock(found.content[: _PLACES[found.version][4]])
        if found.is_usual:
            return found
    raise ValueError(
        "The HDF5 file begins with a user block, or is of a version that nothing can be appended to safely. Give "
        "`output='results.h5ad'`, or copy it with `h5repack` first."
    )


def _checksum(data: bytes) -> int:
    """Checksum of metadata: Jenkins' lookup3 (burtleburtle.net/bob/hash/doobs.html), as the specification asks."""
    a = b = c = (0xDEADBEEF + len(data)) % _WORD
    words = [int.from_bytes(data[at : at + 4], "little") for at in range(0, len(data), 4)]
    while words:
        x, y, z = (*words[:3], 0, 0)[:3]
        a, b, c, words = (a + x) % _WORD, (b + y) % _WORD, (c + z) % _WORD, words[3:]
        for turn in (4, 6, 8, 16, 19, 4) if words else ():
            a, b, c = b, (b + c) % _WORD, ((a - c) % _WORD) ^ _turned(c, turn)
    for turn in (14, 11, 25, 16, 4, 14, 24):
        a, b, c = b, ((c ^ b) - _turned(b, turn)) % _WORD, a
    return b


def _turned(word: int, n: int) -> int:
    return (word << n | word >> (32 - n)) % _WORD
