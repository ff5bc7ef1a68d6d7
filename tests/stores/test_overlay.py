"""The file that HDF5 writes through: it reads as written, and the old bytes change in one step or never."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.stores._overlay import Overlay

WRITES = st.lists(st.tuples(st.integers(0, 30_000), st.integers(1, 9_000)), max_size=12)


def small_file(folder: str) -> Path:
    path = Path(folder) / "small.h5"
    with h5py.File(path, "w") as file:
        file["values"] = np.arange(2_000)
    return path


@settings(max_examples=60, deadline=None)
@given(WRITES, st.integers(0, 2**32 - 1))
def test_it_reads_as_written_and_the_old_bytes_stay(writes, seed):
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
        assert path.read_bytes()[: len(before)] == before
        overlay.close()
        assert path.read_bytes() == before
        assert [each.name for each in path.parent.iterdir()] == ["small.h5"]


def test_what_hdf5_wrote_begins_at_the_new_root(tmp_path):
    path = small_file(str(tmp_path))
    before, overlay = path.read_bytes(), Overlay(path)
    with h5py.File(overlay, "r+") as file:
        file.create_group("other")
    with h5py.File(overlay, "r+") as file:
        file["other/second/more"] = np.arange(3)
        root = h5py.h5o.get_info(file["other/second"].id).addr
    overlay.commit(root)
    overlay.close()
    with h5py.File(path) as file:
        assert list(file) == ["more"]
    after = path.read_bytes()
    assert after[100 : len(before)] == before[100:]
    assert len(after) > len(before)


def test_what_a_killed_run_has_left_is_cut_off(tmp_path):
    path = small_file(str(tmp_path))
    before = path.read_bytes()
    with path.open("ab") as file:
        file.write(b"left by a run that was killed" * 100)
    with h5py.File(path) as file:
        assert file["values"][-1] == 1999
    Overlay(path).close()
    assert path.read_bytes() == before
