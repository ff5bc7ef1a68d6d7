"""Stores annotated by dask workers: the same bits as by one process, whatever befalls them.

Processes of `n_jobs` are compared with both in tests/test_scale_parallel.py.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

import sims_tools as sims
from sims_tools.tl import _annotate_store

pytestmark = pytest.mark.usefixtures("time_limit")

ASK: dict[str, Any] = {
    "part_size": 64, "batch_size": 32, "top_k": 2, "min_confidence": 0.5, "reject": 0.05, "embedding": True,
    "progress_bar": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "atlas.h5ad"
    sims.data.planted_cells(n_cells=300, n_genes=60, n_classes=3, random_state=5).write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def alone(store: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What is said of the cells in one process."""
    output = tmp_path_factory.mktemp("alone") / "labels.h5ad"
    sims.tl.annotate(store, folder, output=output, n_jobs=1, **ASK)
    return contents(output)


def contents(path: Path) -> dict[str, bytes]:
    """All arrays of a file, to the bit."""
    found = {}
    with h5py.File(path) as file:

        def take(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.shape is not None:
                found[name] = np.asarray(item).tolist() if item.dtype == object else np.asarray(item).tobytes()

        file.visititems(take)
    assert {"obs/sims/codes", "obs/sims_novelty", "obsm/X_sims", "obsm/sims_prob"} <= set(found)
    return found


@pytest.fixture
def after_the_first_part(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], None]], None]:
    """Do something once, when the first part is done."""

    def plan(act: Callable[[], None]) -> None:
        run_parts, left = _annotate_store.run_parts, [act]

        def run(*args: Any, **options: Any) -> Iterator[Any]:
            for summary in run_parts(*args, **options):
                yield summary
                if left:
                    left.pop()()

        monkeypatch.setattr(_annotate_store, "run_parts", run)

    return plan


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes of one thread each."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


def test_dask_workers_say_the_same_to_the_bit(store, folder, alone, client, tmp_path):
    sims.tl.annotate(store, folder, output=tmp_path / "labels.h5ad", **ASK)
    assert contents(tmp_path / "labels.h5ad") == alone


@pytest.mark.parametrize("name", [None, "pollock"], ids=["kernels", "plain network"])
def test_threads_change_no_bit(store, folder, planted, tmp_path, name):
    """A network with kernels takes them all; one without takes one, whatever it may use."""
    model: Any = folder
    if name is not None:
        model = sims.tl.train(planted.copy(), "cell_type", model=name, max_epochs=2, progress_bar=False)
    found, before = [], torch.get_num_threads()
    for n_threads in (1, 3):
        torch.set_num_threads(n_threads)
        try:
            sims.tl.annotate(store, model, output=tmp_path / f"{n_threads}.h5ad", n_jobs=1, key_added="sims", **ASK)
            assert torch.get_num_threads() == n_threads
        finally:
            torch.set_num_threads(before)
        found.append(contents(tmp_path / f"{n_threads}.h5ad"))
    assert found[0] == found[1]


def test_a_worker_killed_in_the_middle_costs_its_parts_alone(
    store, folder, alone, client, tmp_path, after_the_first_part
):
    client.wait_for_workers(2, timeout=30)
    process = next(iter(client.run(os.getpid).values()))
    after_the_first_part(lambda: os.kill(process, signal.SIGKILL))
    sims.tl.annotate(store, folder, output=tmp_path / "labels.h5ad", **ASK)
    assert contents(tmp_path / "labels.h5ad") == alone
    assert process not in client.run(os.getpid).values()


def test_finished_parts_are_kept_when_the_caller_is_interrupted(
    store, folder, alone, client, tmp_path, after_the_first_part, caplog
):
    def interrupt() -> None:
        raise KeyboardInterrupt

    output = tmp_path / "labels.h5ad"
    after_the_first_part(interrupt)
    with pytest.raises(KeyboardInterrupt):
        sims.tl.annotate(store, folder, output=output, **ASK)
    assert not output.exists()
    assert list(tmp_path.glob("*.sims-parts/part-*"))
    with caplog.at_level("INFO", logger="sims_tools"):
        sims.tl.annotate(store, folder, output=output, n_jobs=1, resume=True, **ASK)
    assert "parts are there already" in caplog.text
    assert contents(output) == alone
