"""Results appended to a zarr store: at every moment it opens, and what was begun can be finished."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import zarr

from sims_tools.stores import _append_zarr
from sims_tools.stores._append_zarr import append_zarr, recover_zarr

N_OBS = 300
UNS = ("sims", {"classes": np.array(["B/1", "T"]), "slots": np.array(["obs/sims"])})


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "cells.zarr.sims-parts"
    folder.mkdir()
    return folder


def append(path: Path, folder: Path, elements: list[Any], replaced: list[str] | None = None) -> None:
    append_zarr(path, folder, elements, N_OBS, uns=UNS, replaced=replaced or [])


@pytest.mark.parametrize("version", [2, 3])
def test_the_results_are_there_and_take_the_place_of_earlier_ones(store, parts, elements, results, holds, version):
    path = store.with_name(f"version{version}.zarr")
    with ad.settings.override(zarr_write_format=version):
        ad.read_h5ad(store).write_zarr(path)
    for replaced in ([], [*results, "obs/n"]):
        append(path, parts, elements, [slot for slot in replaced if slot != "obs/n"])
        assert holds(path)
        assert list(parts.iterdir()) == []
        root = zarr.open_group(str(path), mode="r")
        assert root.metadata.zarr_format == version
        assert root.metadata.consolidated_metadata is not None
        assert set(root["obs"]) == {"_index", "batch", "n", "sims", "sims_confidence"}
    append(path, parts, elements[:1], list(results))
    assert list(ad.read_zarr(path).obs) == ["batch", "n", "sims"]
    assert not ad.read_zarr(path).obsm


def test_a_store_that_is_not_consolidated_stays_so(zarr_store, parts, elements, holds):
    root = zarr.open_group(str(zarr_store), mode="r+")
    _append_zarr._drop_consolidated(zarr_store)
    append(zarr_store, parts, elements)
    root = zarr.open_group(str(zarr_store), mode="r")
    assert root.metadata.consolidated_metadata is None
    assert holds(zarr_store)


def test_a_column_of_the_same_name_is_replaced_where_it_stands(zarr_store, parts, elements):
    adata = ad.read_zarr(zarr_store)
    adata.obs.insert(0, "sims", "old")
    adata.write_zarr(zarr_store)
    append(zarr_store, parts, elements)
    found = ad.read_zarr(zarr_store).obs
    assert list(found) == ["sims", "batch", "n", "sims_confidence"]
    assert list(found["sims"].cat.categories) == ["B/1", "T", "Unknown"]


class Killed(Exception):
    """Stands for a kill: nothing is cleaned up on the way out of what follows the list of what is to do."""


def test_stopped_at_every_step_it_opens_and_can_be_finished(
    zarr_store, parts, elements, results, holds, monkeypatch, count_steps
):
    before = zarr_store.with_name("before.zarr")
    shutil.copytree(zarr_store, before)
    steps = [(_append_zarr, name) for name in ("whole_file", "_drop_consolidated", "_take_out")]
    steps += [(Path, "rename"), (zarr, "consolidate_metadata")]
    n_steps = count_steps(lambda: append(zarr_store, parts, elements), steps)
    assert n_steps > 10
    complete = []
    for at in range(n_steps):
        for folder in (zarr_store, parts):
            shutil.rmtree(folder)
        shutil.copytree(before, zarr_store)
        parts.mkdir()
        with monkeypatch.context() as patched:
            stop_at(patched, steps, at)
            with pytest.raises(Killed):
                append(zarr_store, parts, elements)
        complete.append(holds(zarr_store))
        was_listed = (parts / "to-do.json").exists()
        recover_zarr(parts)
        assert holds(zarr_store) == (was_listed or complete[-1])
        append(zarr_store, parts, elements, list(results) if holds(zarr_store) else [])
        assert holds(zarr_store)
        assert list(parts.iterdir()) == []
    assert complete == sorted(complete)
    assert set(complete) == {False, True}


def stop_at(patched: pytest.MonkeyPatch, steps: list[tuple[Any, str]], at: int) -> None:
    left = [at]

    def stopping(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **kwargs)

        return call

    for owner, name in steps:
        patched.setattr(owner, name, stopping(getattr(owner, name)))


def test_a_failing_disk_leaves_the_store_as_it_was(zarr_store, parts, elements, holds, monkeypatch):
    written = {each: each.read_bytes() for each in zarr_store.rglob("*") if each.is_file()}

    def fail(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_append_zarr, "write_element", fail)
    with pytest.raises(OSError, match="No space left"):
        append(zarr_store, parts, elements)
    assert {each: each.read_bytes() for each in zarr_store.rglob("*") if each.is_file()} == written
    assert list(parts.iterdir()) == []
