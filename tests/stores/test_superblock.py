"""The first bytes of an HDF5 file are understood in all their versions, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from sims_tools.stores._superblock import Superblock, read_superblock

VERSIONS: list[Any] = ["earliest", ("v108", "v108"), ("v110", "v110"), "latest"]


def written(path: Path, **how: Any) -> Path:
    with h5py.File(path, "w", **how) as file:
        file["group/values"] = np.arange(2_000)
    return path


def read(path: Path) -> Superblock:
    with path.open("rb", buffering=0) as file:
        return read_superblock(file)


@pytest.mark.parametrize("libver", VERSIONS)
def test_end_and_root_are_those_that_hdf5_gives(tmp_path, libver):
    path = written(tmp_path / "file.h5", libver=libver)
    found = read(path)
    with h5py.File(path) as file:
        assert found.root == h5py.h5o.get_info(file.id).addr
    assert found.end == path.stat().st_size
    with path.open("ab") as file:
        file.write(b"more" * 100)
    assert read(path) == found


@pytest.mark.parametrize("libver", VERSIONS)
def test_another_group_can_be_the_root(tmp_path, libver):
    path = written(tmp_path / "file.h5", libver=libver)
    with h5py.File(path) as file:
        group = h5py.h5o.get_info(file["group"].id).addr
    content, end = path.read_bytes(), path.stat().st_size
    new = read(path).pointing(group, end)
    assert len(new) <= 100
    path.write_bytes(new + content[len(new) :])
    with h5py.File(path, "r+") as file:
        assert list(file) == ["values"]
        file["more"] = np.arange(3)
    with h5py.File(path) as file:
        assert list(file) == ["more", "values"]


def test_a_user_block_is_refused(tmp_path):
    path = written(tmp_path / "file.h5", userblock_size=1024)
    with pytest.raises(ValueError, match="user block"):
        read(path)


@pytest.mark.parametrize("at", [8, 9, 30, 45])
def test_a_version_or_checksum_that_is_not_understood_is_refused(tmp_path, at):
    path = written(tmp_path / "file.h5", libver="latest")
    content = bytearray(path.read_bytes())
    content[at] += 7
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match="safely"):
        read(path)


@pytest.mark.parametrize("content", [b"", b"text" * 1000])
def test_other_files_are_no_hdf5(tmp_path, content):
    path = tmp_path / "file.h5"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no HDF5 superblock"):
        read(path)
