"""Results appended to an h5ad file: at every moment it opens, as it was or complete."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pytest

from sims_tools.stores import _append_hdf5, _journal, _overlay
from sims_tools.stores._append_hdf5 import append_hdf5, check_space
from sims_tools.stores._journal import journal_of, recover

N_OBS = 300
UNS = ("sims", {"classes": np.array(["B/1", "T"]), "slots": np.array(["obs/sims"])})

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


def append(path: Path, elements: list[Any], replaced: list[str] | None = None) -> None:
    append_hdf5(path, elements, N_OBS, uns=UNS, replaced=replaced or [])


def left_over(path: Path) -> list[str]:
    return sorted(each.name for each in path.parent.iterdir() if each.name not in (path.name, "before.h5ad"))


def test_the_results_are_what_anndata_writes(store, elements, results, holds, tmp_path):
    append(store, elements)
    assert holds(store)
    adata = ad.read_h5ad(store)
    adata.write_h5ad(tmp_path / "written.h5ad")
    with h5py.File(store) as ours, h5py.File(tmp_path / "written.h5ad") as theirs:
        for slot in [*results, "obs", "obsm", "uns", "uns/sims"]:
            assert dict(ours[slot].attrs).keys() == dict(theirs[slot].attrs).keys()
            assert ours[slot].attrs["encoding-type"] == theirs[slot].attrs["encoding-type"]
            if isinstance(ours[slot], h5py.Group):
                assert set(ours[slot]) == set(theirs[slot])
    backed = ad.read_h5ad(store, backed="r")
    assert backed.obsm["sims_masks"].shape == (N_OBS, 20)
    backed.file.close()
    assert left_over(store) == ["written.h5ad"]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_it_grows_by_the_results_alone_and_takes_the_place_of_earlier_ones(store, elements, results, holds, libver):
    with h5py.File(store) as old, h5py.File(store.with_name("other.h5ad"), "w", libver=libver) as new:
        for name in old:
            old.copy(name, new)
        new.attrs.update(old.attrs)
    store = store.with_name("other.h5ad")
    sizes = [store.stat().st_size]
    for _ in range(3):
        append(store, elements, list(results))
        assert holds(store)
        sizes.append(store.stat().st_size)
    size = sum(getattr(value, "nbytes", 0) or value.data.nbytes * 3 for value in results.values())
    assert 0 < np.diff(sizes).max() < size + 50_000
    assert list(ad.read_h5ad(store).obs) == ["batch", "n", "sims", "sims_confidence"]


@pytest.mark.parametrize("half", [False, True])
def test_killed_at_every_write_it_opens_and_can_be_finished(store, elements, holds, dies, count_steps, half):
    before = store.read_bytes()

    def partly(file: Any, data: Any, at: int) -> None:
        file.seek(at)
        file.write(memoryview(data).cast("B")[: len(data) // 2])

    steps = [(_overlay, "write_at"), (_journal, "write_at")]
    if not half:
        steps += [(_journal, "sync"), (_journal.os, "replace"), (Path, "unlink")]
    n_steps = count_steps(lambda: append(store, elements), steps)
    assert n_steps > 30
    seen = set[bool]()
    for at in [*range(0, n_steps - 14, 9), *range(n_steps - 14, n_steps)]:  # the first ones write results, all alike
        store.write_bytes(before)
        assert dies(lambda: append(store, elements), steps, at, partly if half else None)
        has_journal = journal_of(store).exists()
        seen.add(has_journal)
        recover(store)
        assert holds(store) == has_journal
        append(store, elements, ["obs/sims"] if has_journal else [])
        assert holds(store)
        assert left_over(store) == []
    assert seen == {False, True}


def test_without_a_journal_old_bytes_are_untouched(store, elements, dies):
    before, steps = store.read_bytes(), [(_journal.os, "replace")]
    assert dies(lambda: append(store, elements), steps, 0, None)
    assert store.read_bytes()[: len(before)] == before
    assert store.stat().st_size > len(before)


@pytest.mark.parametrize("at", [0, 3, 10, 30])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_the_file_as_it_was(store, elements, monkeypatch, number, at):
    before, left, real = store.read_bytes(), [at], _overlay.write_at

    def fail(*args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(number, os.strerror(number))
        real(*args)

    monkeypatch.setattr(_overlay, "write_at", fail)
    match = "became full.*resume=True" if number == errno.ENOSPC else "Input/output error"
    with pytest.raises(OSError, match=match) as caught:
        append(store, elements)
    assert caught.value.errno == number
    assert store.read_bytes() == before
    assert left_over(store) == []


@pytest.mark.parametrize("at", [0, 5, 20])
def test_a_disk_that_cannot_be_read_leaves_the_file_as_it_was(store, elements, monkeypatch, at):
    before, left, real = store.read_bytes(), [at], _overlay.Overlay._read

    def fail(*args: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(*args)

    monkeypatch.setattr(_overlay.Overlay, "_read", fail)
    with pytest.raises(OSError, match="Input/output error"):
        append(store, elements)
    assert left[0] < 0
    assert store.read_bytes() == before
    assert left_over(store) == []


def test_a_limit_of_the_system_leaves_the_file_as_it_was(store, elements, dies):
    """A real write that fails: the process may not make files longer than this."""
    import resource

    before = store.read_bytes()

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5000, len(before) + 5000))
        try:
            append(store, elements)
        except OSError as error:
            os._exit(0 if error.errno == errno.EFBIG else 2)
        os._exit(3)

    assert not dies(work, [], 0, None)
    assert store.read_bytes() == before
    assert left_over(store) == []


def test_interrupted_it_is_as_it_was(store, elements, monkeypatch):
    before, left, real = store.read_bytes(), [5], _overlay.write_at

    def interrupt(*args: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            signal.raise_signal(signal.SIGINT)
        real(*args)

    monkeypatch.setattr(_overlay, "write_at", interrupt)
    with pytest.raises(KeyboardInterrupt):
        append(store, elements)
    assert store.read_bytes() == before


def test_a_failure_while_old_bytes_are_replaced_leaves_the_journal(store, elements, holds, monkeypatch):
    def fail(*args: Any) -> None:
        raise OSError(errno.EIO, "broken")

    with monkeypatch.context() as patched:
        real = _journal.write_at
        patched.setattr(
            _journal, "write_at", lambda file, data, at: (fail if file.name == str(store) else real)(file, data, at)
        )
        with pytest.raises(OSError, match="broken"):
            append(store, elements)
    assert journal_of(store).exists()
    recover(store)
    assert holds(store)


def test_a_file_that_is_open_elsewhere_is_left_alone(store, elements):
    with h5py.File(store), pytest.raises(OSError, match="open elsewhere"):
        append(store, elements)
    append(store, elements)


def test_a_journal_of_another_file_is_refused(store, elements, dies, tmp_path):
    assert dies(lambda: append(store, elements), [(Path, "unlink")], 0, None)
    other = tmp_path / "other.h5ad"
    ad.AnnData(np.ones((2, 2), np.float32)).write_h5ad(other)
    shutil.copy(journal_of(store), journal_of(other))
    with pytest.raises(ValueError, match="is of another file"):
        recover(other)
    journal_of(other).write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no journal of sims-tools"):
        recover(other)
    assert ad.read_h5ad(other).shape == (2, 2)


def test_a_damaged_file_is_no_hdf5(tmp_path, elements):
    path = tmp_path / "text.h5ad"
    path.write_text("text" * 1000)
    with pytest.raises(ValueError, match="no HDF5 superblock"):
        append(path, elements)
    assert path.read_text() == "text" * 1000


def test_too_little_room_is_said_beforehand(tmp_path):
    with pytest.raises(OSError, match="GB left; the results need") as caught:
        check_space(tmp_path, 10**18)
    assert caught.value.errno == errno.ENOSPC
    check_space(tmp_path, 10)
    assert _append_hdf5.no_space(tmp_path, OSError(errno.ENOSPC, "x")).errno == errno.ENOSPC
