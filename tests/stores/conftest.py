"""A store, results to be appended to it, and processes that die at a chosen step."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sims_tools.stores._elements import Element

N_OBS = 300


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An h5ad file without `.obsm`."""
    rng = np.random.default_rng(0)
    names = [f"cell {i}" for i in range(N_OBS)]
    obs = pd.DataFrame({"batch": pd.Categorical(rng.choice(["a", "b"], N_OBS)), "n": np.arange(N_OBS)}, index=names)
    counts = sparse.random(N_OBS, 40, 0.2, format="csr", dtype=np.float32, random_state=0)
    path = tmp_path / "cells.h5ad"
    ad.AnnData(counts, obs=obs).write_h5ad(path)
    return path


@pytest.fixture
def zarr_store(store: Path, tmp_path: Path) -> Path:
    path = tmp_path / "cells.zarr"
    ad.read_h5ad(store).write_zarr(path)
    return path


@pytest.fixture
def results() -> dict[str, Any]:
    """What is appended, by slot."""
    rng = np.random.default_rng(1)
    return {
        "obs/sims": pd.Categorical.from_codes(rng.integers(0, 3, N_OBS), ["B/1", "T", "Unknown"]),
        "obs/sims_confidence": rng.random(N_OBS).astype(np.float32),
        "obsm/sims_prob": rng.random((N_OBS, 3)).astype(np.float32),
        "obsm/sims_masks": sparse.random(N_OBS, 20, 0.3, format="csr", dtype=np.float32, random_state=2),
        "obsm/sims_sets": sparse.random(N_OBS, 3, 0.3, format="csr", random_state=3) > 0,
    }


@pytest.fixture
def elements(results: dict[str, Any]) -> list[Element]:
    """The same in pieces of 128 cells."""
    return [_element(slot, value) for slot, value in results.items()]


def _element(slot: str, value: Any) -> Element:
    def pieces() -> Iterator[Any]:
        return (value[start : start + 128] for start in range(0, N_OBS, 128))

    return Element(slot, value[:0], pieces, getattr(value, "nnz", 0))


@pytest.fixture
def holds(results: dict[str, Any]) -> Callable[[Path], bool]:
    """Opens a store; whether it holds the results, all or none of them."""

    def look(path: Path) -> bool:
        adata = ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(path)
        assert list(adata.obs)[:2] == ["batch", "n"]
        assert adata.X.shape == (N_OBS, 40)
        there = [slot for slot in results if slot.split("/")[1] in getattr(adata, slot.split("/")[0])]
        if "sims" not in adata.uns:
            assert not there or path.suffix == ".zarr"
            return False
        if path.suffix == ".zarr" and len(there) < len(results):
            return False
        for slot, value in results.items():
            axis, name = slot.split("/")
            found = getattr(adata, axis)[name]
            if sparse.issparse(value):
                assert found.dtype == value.dtype
                assert found.shape == value.shape
                assert (found != value).nnz == 0
                assert found.indptr.dtype == value.indptr.dtype
            else:
                assert found.dtype == value.dtype
                np.testing.assert_array_equal(np.asarray(found), np.asarray(value))
        return True

    return look


@pytest.fixture
def dies(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bool]:
    """Run something in a child process that is killed at one of its steps; whether it was.

    Steps are calls of some functions, given as (owner, name); the last one is done in part where a way is given.
    """

    def run(work: Callable[[], Any], steps: list[tuple[Any, str]], at: int, partly: Callable[..., Any] | None) -> bool:
        child = os.fork()
        if child == 0:
            left = [at]

            def counted(function: Callable[..., Any]) -> Callable[..., Any]:
                def call(*args: Any, **kwargs: Any) -> Any:
                    left[0] -= 1
                    if left[0] < 0:
                        if partly is not None:
                            partly(*args, **kwargs)
                        os._exit(9)
                    return function(*args, **kwargs)

                return call

            status = 1
            try:
                for owner, name in steps:
                    setattr(owner, name, counted(getattr(owner, name)))
                work()
                status = 0
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9)
        return status == 9

    return run


@pytest.fixture
def count_steps() -> Callable[..., int]:
    """How many steps a piece of work has; it is done."""
    return _count_steps


def _count_steps(work: Callable[[], Any], steps: list[tuple[Any, str]]) -> int:
    counted = [0]

    def counting(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            counted[0] += 1
            return function(*args, **kwargs)

        return call

    with pytest.MonkeyPatch.context() as patched:
        for owner, name in steps:
            patched.setattr(owner, name, counting(getattr(owner, name)))
        work()
    return counted[0]
