"""Stores annotated by processes and by dask workers: the same bits as one part after the other."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sims_tools as sims
from sims_tools.stores._part_file import PartSummary
from sims_tools.stores._plan import Plan
from sims_tools.stores._run_parts import run_parts
from sims_tools.stores._source import StoreRef
from sims_tools.tl._annotate_part import AnnotationJob, annotate_part
from sims_tools.tl._annotate_store import plan_annotation
from sims_tools.tl._cell_calls import Request
from sims_tools.tl._mask_modes import MaskMode

N_CELLS, PART = 300, 64
PARAMS: dict[str, Any] = {
    "model": "sims", "layer": None, "input_kind": "auto", "top_k": 2, "classes": None, "groupby": None,
    "min_confidence": 0.5, "reject": 0.05, "reject_by": "cell", "prediction_sets": None, "class_conditional": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "atlas.h5ad"
    sims.data.planted_cells(n_cells=N_CELLS, n_genes=60, n_classes=3, random_state=5).write_h5ad(path)
    return path


@pytest.fixture
def plan(store: Path, folder: Path, tmp_path: Path) -> Callable[..., tuple[AnnotationJob, Plan]]:
    """A plan of its own in a folder of its own."""

    def make(name: str, model: Any = None, **params: Any) -> tuple[AnnotationJob, Plan]:
        model = sims.models.load(folder) if model is None else model
        asked = {**PARAMS, "model": model.name, **params}
        kept = {"masks": MaskMode("full"), "embedding": True, "probabilities": True}
        request = Request("sims", asked, **kept, batch_size=32, part_size=PART)
        return plan_annotation(StoreRef(str(store)), model, request, tmp_path / name, resume=False)[:2]

    return make


def run(job: AnnotationJob, plan: Plan, n_jobs: int | None) -> list[PartSummary]:
    how: dict[str, Any] = {"plan_file": plan.file, "n_jobs": n_jobs, "progress_bar": False}
    return list(run_parts(annotate_part, job, plan.left(), **how))


def results(plan: Plan) -> dict[str, bytes]:
    """All that parts hold, to the bit."""
    found = {}
    for number, part in enumerate(plan.finished()):
        with np.load(part.path) as file:
            found |= {f"{number} {name}": file[name].tobytes() for name in file.files}
    return found


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two worker processes of one thread each."""
    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with distributed.LocalCluster(**options) as cluster, distributed.Client(cluster) as client:
        yield client


@pytest.mark.parametrize("n_jobs", [2, None], ids=["processes", "dask"])
def test_the_results_are_the_same_to_the_bit(plan, client, n_jobs):
    alone, together = plan("alone"), plan("together")
    run(*alone, 1)
    assert {(each.start, each.stop) for each in run(*together, n_jobs)} == set(alone[1].parts)
    assert results(together[1]) == results(alone[1])


def test_threads_change_no_bit(plan):
    """A network with kernels takes them all; one without takes one, whatever it may use."""
    cells = sims.data.planted_cells(n_cells=200, n_genes=60, n_classes=3)
    pollock = sims.tl.train(cells, "cell_type", model="pollock", max_epochs=2, progress_bar=False)
    before = torch.get_num_threads()
    for name, model in (("sims", None), ("pollock", pollock)):
        found = []
        for n_threads in (1, 3):
            made = plan(f"{name}{n_threads}", model)
            torch.set_num_threads(n_threads)
            try:
                run(*made, 1)
                assert torch.get_num_threads() == n_threads
            finally:
                torch.set_num_threads(before)
            found.append(results(made[1]))
        assert found[0] == found[1]


def test_a_worker_killed_in_the_middle_costs_its_parts_alone(plan, client):
    made = plan("serial")
    run(*made, 1)
    expected = results(made[1])
    job, planned = plan("killed")
    summaries = run_parts(annotate_part, job, planned.left(), plan_file=planned.file, progress_bar=False)
    done = [next(summaries)]
    os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
    done += list(summaries)
    assert sorted((each.start, each.stop) for each in done) == planned.parts
    assert results(planned) == expected
    client.wait_for_workers(2, timeout=30)


def test_finished_parts_are_kept_when_the_caller_is_interrupted(plan, client):
    job, planned = plan("interrupted")
    summaries = run_parts(annotate_part, job, planned.left(), plan_file=planned.file, progress_bar=False)
    done = next(summaries)
    with pytest.raises(KeyboardInterrupt):
        summaries.throw(KeyboardInterrupt)
    left = planned.left()
    assert (done.start, done.stop) not in left
    assert {(each.start, each.stop) for each in run(job, planned, None)} == set(left)
    assert planned.left() == []
