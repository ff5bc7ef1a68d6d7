"""What a store holds, in a few bytes, by which a change of it is noticed."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np

from sims_tools.data._blocks import sample_positions
from sims_tools.stores._object_source import ObjectSource
from sims_tools.stores._source import Source, as_text

_RUNS, _RUN = 16, 1 << 12
"""Of long arrays, so many runs of so many values are looked at."""


def fingerprint(source: Source | ObjectSource) -> dict[str, Any]:
    """Cells, genes, and a digest of all names of genes and of some names of cells and some values.

    It does not change when results are appended.

    Parameters
    ----------
    source
        The store.
    """
    found = hashlib.blake2b(digest_size=16)
    found.update("\0".join(map(str, source.var.index)).encode())
    for run in _runs(source.n_obs, 64):
        found.update("\0".join(as_text(source.index[run])).encode())
    for array, size in _arrays(source):
        found.update(f"{array.shape}{array.dtype}".encode())
        for run in _runs(array.shape[0], size):
            found.update(np.ascontiguousarray(array[run]).view(np.uint8).data)
    return {"cells": source.n_obs, "genes": len(source.var), "content": found.hexdigest()}


def _arrays(source: Source | ObjectSource) -> list[tuple[Any, int]]:
    """Arrays that hold values, and how many of their entries make a run."""
    if isinstance(source, ObjectSource):
        sample = source.sample().X
        return [(values, len(values)) for values in (sample.data, sample.indices, sample.indptr)]
    group = getattr(source.rows.matrix, "group", None)
    if group is None:
        return [(source.rows.matrix, 4)]
    return [(group[name], _RUN) for name in ("data", "indices", "indptr")]


def _runs(length: int, size: int) -> list[slice]:
    """All of so many entries, or runs of some spread evenly, the last among them."""
    positions = sample_positions(length, _RUNS * size, _RUNS)
    if not len(positions):
        return []
    runs = np.split(positions, np.flatnonzero(np.diff(positions) > 1) + 1)
    return [slice(int(run[0]), int(run[-1]) + 1) for run in runs]
