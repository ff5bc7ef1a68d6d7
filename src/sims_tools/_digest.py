"""Digests of arrays and texts."""

from __future__ import annotations

import hashlib

import numpy as np


def digest(*parts: np.ndarray | bytes) -> str:
    """32 hexadecimal digits of some arrays, of any type and shape, and texts (BLAKE2b)."""
    found = hashlib.blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, np.ndarray):
            found.update(f"{part.dtype.str}{part.shape}".encode())
            found.update(np.ascontiguousarray(part).view(np.uint8).data)
        else:
            found.update(part)
    return found.hexdigest()
