"""Results appended to an h5ad file: at every moment it opens, as it was or complete."""

from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sims_tools.stores import _append_hdf5, _overlay
from sims_tools.stores._append_hdf5 import append_hdf5, check_hdf5, check_space

N_OBS = 300
UNS = ("sims", {"classes": np.array(["B/1", "T"]), "slots": np.array(["obs/sims"])})

LAYOUTS: dict[str, dict[str, Any]] = {
    "as anndata writes": {},
    "latest": {"libver": "latest"},
    "version 2": {"libver": ("v108", "v108")},
    "ordered": {"libver": "latest", "track_order": True},
    "paged": {"fs_strategy": "page"},
    "unaccounted": {"fs_strategy": "none"},
    "many": {"n_more": 150},
    "many, latest": {"n_more": 150, "libver": "latest"},
}

pytestmark = pytest.mark.skipif(os.name != "posix", reason="processes are forked")


def append(path: Path, elements: list[Any], replaced: list[str] | None = None) -> None:
    append_hdf5(path, elements, N_OBS, uns=UNS, replaced=replaced or [])


def laid_out(path: Path, n_more: int = 2, **how: Any) -> Path:
    """Cells in a file of another layout, with more of everything; room within it is free, as after deleting."""
    rng = np.random.default_rng(4)
    more = {f"column {i}": rng.choice(["yes", "no", f"{i}"], N_OBS) for i in range(n_more)}
    obs = pd.DataFrame({"batch": pd.Categorical(rng.choice(["a", "b"], N_OBS)), "n": np.arange(N_OBS), **more})
    obs.index = [f"cell {i}" for i in range(N_OBS)]
    counts = sparse.random(N_OBS, 40, 0.2, format="csr", dtype=np.float32, random_state=0)
    uns = {f"entry {i}": {"text": "é" * i, "values": np.arange(i)} for i in range(n_more)}
    adata = ad.AnnData(counts, obs=obs, uns=uns, obsm={"other": np.ones((N_OBS, 2))})
    with h5py.File(path, "w", **how) as file:
        file["room"] = np.arange(20_000)
        ad.io.write_elem(file, "/", adata)
        for number in range(n_more):
            file["obs"].attrs[f"note {number}"] = "text" * number
        file.attrs["nothing"] = h5py.Empty("f4")
    with h5py.File(path, "r+") as file:
        if "room" in file:
            del file["room"]
    return path


def objects(group: h5py.Group) -> dict[str, Any]:
    """Everything in a file, by path."""
    found: dict[str, Any] = {}
    group.visititems(lambda name, item: found.update({name: item}))
    return found


def holds_all(path: Path, old: ad.AnnData, without: list[str]) -> bool:
    """Whether everything of an AnnData is in a file still, and nothing else but results."""
    new, gone = ad.read_h5ad(path), {slot.split("/")[1] for slot in without}
    for axis in ("obs", "obsm", "uns"):
        for name in set(getattr(old, axis)) - gone:
            assert name in getattr(new, axis)
    kept = [name for name in old.obs if name not in gone]
    pd.testing.assert_frame_equal(new.obs[kept], old.obs[kept])
    assert (new.X != old.X).nnz == 0
    for name, entry in old.uns.items():
        if name.startswith("entry"):
            assert new.uns[name]["text"] == entry["text"]
            np.testing.assert_array_equal(new.uns[name]["values"], entry["values"])
    for name in set(old.obsm) - gone - {"sims_masks", "sims_sets"}:
        np.testing.assert_array_equal(new.obsm[name], old.obsm[name])
    return all(name in new.obsm for name in ("sims_masks", "sims_sets", "sims_prob")) and "sims" in new.uns


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


def test_killed_at_every_step_it_opens_as_it_was_or_complete(store, elements, holds, dies, count_steps):
    """The superblock is one write of fewer bytes than a sector; all others are also done by half."""

    def partly(file: Any, data: Any = None, at: int = 0) -> None:
        if data is not None and at > 0:
            file.seek(at)
            file.write(memoryview(data).cast("B")[: len(data) // 2])

    before, steps = store.read_bytes(), [(_overlay, "write_at"), (_overlay, "sync")]
    n_steps = count_steps(lambda: append(store, elements), steps)
    assert n_steps > 30
    seen = []
    chosen = [*range(0, n_steps - 14, 9), *range(n_steps - 14, n_steps)]  # the first ones write results, all alike
    for at in chosen:
        store.write_bytes(before)
        assert dies(lambda: append(store, elements), steps, at, partly)
        is_whole = holds(store)
        if not is_whole:
            assert store.read_bytes()[: len(before)] == before
        append(store, elements, ["obs/sims"] if is_whole else [])
        assert holds(store)
        assert left_over(store) == []
        seen.append(is_whole)
    assert seen == [False] * (len(chosen) - 1) + [True]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_the_old_bytes_the_superblock_alone_changes(tmp_path, elements, holds, layout):
    """So nothing new can lie among them, and nothing old can be lost."""
    path = laid_out(tmp_path / "cells.h5ad", **LAYOUTS[layout])
    old = ad.read_h5ad(path)
    for replaced in ([], ["obs/sims"], ["obsm/other", "obs/n"]):
        before = path.read_bytes()
        append(path, elements, replaced)
        assert path.read_bytes()[100 : len(before)] == before[100:]
        assert holds_all(path, old, without=replaced)
        with h5py.File(path) as file:
            assert all(
                h5py.h5o.get_info(each.id).rc == 1 for each in objects(file).values() if each.name != "/uns/again"
            )
            assert file.attrs["encoding-type"] == "anndata"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_programs_can_go_on_with_the_file(tmp_path, elements, results, layout):
    path = laid_out(tmp_path / "cells.h5ad", **LAYOUTS[layout])
    append(path, elements)
    with h5py.File(path, "r+") as file:
        del file["obsm/other"], file["obsm/sims_prob"]
        for name in ("one", "two"):
            file[f"obsm/{name}"] = np.arange(N_OBS * 200.0).reshape(N_OBS, 200)
            file["obsm"].attrs[name] = "text" * 100
    adata = ad.read_h5ad(path)
    assert set(adata.obsm) == {"sims_masks", "sims_sets", "one", "two"}
    assert (adata.obsm["one"] == np.arange(N_OBS * 200).reshape(N_OBS, 200)).all()
    assert (adata.obsm["sims_masks"] != results["obsm/sims_masks"]).nnz == 0
    append(path, elements)
    assert holds_all(path, adata, without=[])


def test_links_stay_links(store, elements, tmp_path):
    with h5py.File(tmp_path / "before.h5ad", "w") as other:
        other["there"] = 3
    with h5py.File(store, "r+") as file:
        file["uns/soft"], file["uns/outside"] = h5py.SoftLink("/obs/n"), h5py.ExternalLink("before.h5ad", "/there")
        file["uns/gone"] = h5py.SoftLink("/nothing")
        file["uns/again"] = file["obs/n"]
    append(store, elements)
    with h5py.File(store) as file:
        assert file["uns"].get("soft", getlink=True).path == "/obs/n"
        assert file["uns/outside"][()] == 3
        assert file["uns"].get("gone", getlink=True).path == "/nothing"
        assert file["uns/again"] == file["obs/n"] == file["uns/soft"]


@pytest.mark.parametrize("how", [{"userblock_size": 512}, {"fs_strategy": "fsm", "fs_persist": True}])
def test_files_that_it_cannot_be_safe_with_are_refused(tmp_path, elements, how):
    path = laid_out(tmp_path / "cells.h5ad", **how)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="safely"):
        check_hdf5(path)
    with pytest.raises(ValueError, match=r"safely. Give `output='results.h5ad'`"):
        append(path, elements)
    assert path.read_bytes() == before


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


def test_a_file_that_is_open_elsewhere_is_left_alone(store, elements):
    with h5py.File(store), pytest.raises(OSError, match="open elsewhere"):
        append(store, elements)
    append(store, elements)


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
