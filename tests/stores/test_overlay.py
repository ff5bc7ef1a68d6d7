"""The file that HDF5 writes through: it reads as written, and the old bytes change in one step or never."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.stores._overlay import Overlay, end_of_hdf5

WRITES = st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9_000)), max_size=12)


def small_file(folder: str) -> Path:
    path = Path(folder) / "small.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.arange(2_000)
    return path


@settings(max_examples=60, deadline=None)
@given(WRITES, st.none() | st.integers(3_000, 30_000), st.booleans(), st.integers(0, 2**32 - 1))
def test_it_is_a_file_like_any_other(writes, end, kept, seed):
    """HDF5 sets the length once, when all is written."""
    rng = np.random.default_rng(seed)
    with TemporaryDirectory() as folder:
        path = small_file(folder)
        before = path.read_bytes()
        expected = bytearray(before)
        overlay = Overlay(path)
        for at, n in writes:
            data = rng.bytes(n)
            expected += bytes(max(at - len(expected), 0))
            expected[at : at + n] = data
            overlay.seek(at)
            assert overlay.write(data) == n
            start = int(rng.integers(0, len(expected)))
            overlay.seek(start)
            found = bytearray(len(expected) - start + 10)
            assert overlay.readinto(found) == len(expected) - start
            assert found[:-10] == expected[start:]
        if end is not None:
            del expected[end:]
            expected += bytes(end - len(expected))
            overlay.truncate(end)
        assert path.read_bytes()[: len(before)] == before
        if kept:
            overlay.commit()
        overlay.close()
        assert path.read_bytes() == (bytes(expected) if kept else before)
        assert [each.name for each in path.parent.iterdir()] == ["small.h5"]


@pytest.mark.parametrize("libver", ["earliest", "latest", ("v110", "v110")])
@pytest.mark.parametrize("userblock", [0, 512])
def test_what_lies_beyond_the_end_of_a_file_is_known(tmp_path, libver, userblock):
    path = tmp_path / "file.h5"
    with h5py.File(path, "w", libver=libver, userblock_size=userblock) as file:
        file["values"] = np.arange(2_000)
    length = path.stat().st_size
    with path.open("ab") as file:
        file.write(b"left by a run that was killed" * 100)
    with path.open("rb", buffering=0) as file:
        assert end_of_hdf5(file) == (path.stat().st_size if userblock else length)
    with h5py.File(path) as file:
        assert file["values"][-1] == 1999
