"""Processes and dask workers compute parts; those that are killed cost theirs alone."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from sims_tools.stores._dask import SharedFile, active_client, run_on_dask
from sims_tools.stores._processes import count_processes, run_in_processes
from sims_tools.stores._resources import device_ids, turn

pytestmark = pytest.mark.usefixtures("time_limit")

PARTS = [(start, start + 10) for start in range(0, 60, 10)]
WORK = '''
import os, signal, sys, time
from pathlib import Path

def square(job, start, stop, resources):
    """Leave a line with who began it, and die where the job says so."""
    began = time.monotonic()
    log = Path(job["log"])
    with log.open("a") as lines:
        lines.write(f"{start} {os.getpid()}\\n")
    time.sleep(job.get("seconds", 0))
    begun = [line.split()[0] for line in log.read_text().splitlines()].count(str(start))
    if begun <= job["deaths"].get(start, 0):
        os.kill(os.getpid(), signal.SIGKILL)
    if start == job.get("fails"):
        raise ValueError(f"row {start} is bad")
    squares = [row**2 for row in range(start, stop)]
    return start, squares, os.getpid(), resources, dict(os.environ), (began, time.monotonic())
'''


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """A function in a module that child processes find."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "parts_for_test.py").write_text(WORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]))
        yield import_module("parts_for_test").square
    sys.modules.pop("parts_for_test")


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    return {"log": str(tmp_path / "log"), "deaths": {}}


def begun(job: dict[str, Any]) -> Counter[int]:
    """How often each part was begun."""
    return Counter(int(line.split()[0]) for line in Path(job["log"]).read_text().splitlines())


def check(results: list[Any]) -> None:
    assert sorted((start, squares) for start, squares, *_ in results) == [
        (start, [row**2 for row in range(start, stop)]) for start, stop in PARTS
    ]


# --- processes --------------------------------------------------------------------------------------------------------


def test_processes_share_the_parts_and_the_threads(work, job):
    results = list(run_in_processes(work, {**job, "seconds": 0.1}, PARTS, n_jobs=2, n_threads=6))
    check(results)
    pids = {pid for _, _, pid, *_ in results}
    assert len(pids) == 2
    assert os.getpid() not in pids
    assert {(place.n_threads, place.device) for *_, place, _, _ in results} == {(3, None)}
    assert {environment["OMP_NUM_THREADS"] for *_, environment, _ in results} == {"3"}
    assert begun(job) == dict.fromkeys([start for start, _ in PARTS], 1)


def test_a_killed_process_costs_its_part_alone(work, job):
    job["deaths"] = {20: 1, 50: 2}
    check(list(run_in_processes(work, job, PARTS, n_jobs=2, n_threads=2)))
    assert begun(job) == {0: 1, 10: 1, 20: 2, 30: 1, 40: 1, 50: 3}


def test_a_part_that_kills_every_process_is_given_up(work, job):
    job["deaths"] = {10: 99}
    with pytest.raises(RuntimeError, match=r"rows 10 to 20 ended without a word, 3 times.*memory.*resume=True"):
        list(run_in_processes(work, job, PARTS, n_jobs=2, n_threads=2))
    assert begun(job)[10] == 3


def test_an_error_in_a_process_comes_back_as_it_is(work, job):
    with pytest.raises(ValueError, match="row 30 is bad"):
        list(run_in_processes(work, {**job, "fails": 30}, PARTS, n_jobs=2, n_threads=2))


def test_no_process_is_left_when_the_caller_stops(work, job):
    results = run_in_processes(work, {**job, "seconds": 0.2}, PARTS, n_jobs=2, n_threads=2)
    *_, pid, _, _, _ = next(results)
    results.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert len(begun(job)) < len(PARTS)


# --- dask -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(work) -> Iterator[Any]:
    """Two worker processes of one thread each; a task may kill one, and not a second."""
    distributed, dask = pytest.importorskip("distributed"), pytest.importorskip("dask")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0}
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}):
        cluster = distributed.LocalCluster(**options)
    with cluster, distributed.Client(cluster, set_as_default=True) as client:
        yield client


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    (tmp_path / "plan.json").write_text("{}")
    return tmp_path / "plan.json"


def test_workers_share_the_parts(work, job, plan, client):
    client.wait_for_workers(2)
    results = list(run_on_dask(client, work, {**job, "seconds": 0.1}, PARTS, plan))
    check(results)
    assert len({pid for _, _, pid, *_ in results}) == 2
    assert os.getpid() not in {pid for _, _, pid, *_ in results}
    assert {(place.n_threads, place.device) for *_, place, _, _ in results} == {(1, None)}


def test_a_killed_worker_costs_its_parts_alone(work, job, plan, client):
    job |= {"deaths": {20: 1}, "seconds": 0.2}  # so that results of earlier parts have been fetched from the worker
    check(list(run_on_dask(client, work, job, PARTS, plan)))
    assert begun(job)[20] == 2


def test_a_part_that_kills_every_worker_is_given_up(work, job, plan, client):
    job["deaths"] = {10: 99}
    with pytest.raises(RuntimeError, match=r"died 2 times while they had rows 10 to 20.*resume=True"):
        list(run_on_dask(client, work, job, [(10, 20)], plan))
    assert begun(job)[10] == 2


def test_an_error_in_a_worker_comes_back_as_it_is(work, job, plan, client):
    with pytest.raises(ValueError, match="row 30 is bad"):
        list(run_on_dask(client, work, {**job, "fails": 30}, PARTS, plan))


def test_workers_that_do_not_share_the_folder_are_told_apart(work, job, plan, client):
    results = run_on_dask(client, work, {**job, "seconds": 0.2}, PARTS, plan)
    next(results)
    plan.write_text('{"another": "plan"}')
    with pytest.raises(RuntimeError, match=r"does not see.*plan\.json.*same path"):
        list(results)
    plan.unlink()
    with pytest.raises(RuntimeError, match=r"does not see.*plan\.json.*same path"):
        SharedFile(str(plan), "0").check()


def test_another_version_of_the_package_is_refused(work, job, plan, client, monkeypatch):
    from sims_tools.stores import _dask

    monkeypatch.setattr(_dask, "__version__", "99.0")
    with pytest.raises(RuntimeError, match=r"A dask worker has sims-tools .*, the client 99\.0"):
        list(run_on_dask(client, work, job, PARTS, plan))


def test_tasks_carry_the_name_of_what_they_do(work, job, plan, client):
    results = run_on_dask(client, work, {**job, "seconds": 0.2}, PARTS, plan)
    next(results)
    keys = {str(key) for keys in client.processing().values() for key in keys}
    assert keys
    assert all(key.startswith("square-") for key in keys)
    list(results)


def test_what_the_caller_leaves_is_cancelled(work, job, plan, client):
    results = run_on_dask(client, work, {**job, "seconds": 0.2}, PARTS * 4, plan)
    next(results)
    results.close()
    client.run(lambda: None)
    assert sum(begun(job).values()) < 4 * len(PARTS)


def test_a_worker_of_several_threads_computes_one_part_at_a_time_with_all(work, job, plan):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=3, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        results = list(run_on_dask(client, work, {**job, "seconds": 0.02}, PARTS, plan))
    check(results)
    assert {place.n_threads for *_, place, _, _ in results} == {3}
    times = sorted(each[-1] for each in results)
    assert all(ended <= began for (_, ended), (began, _) in pairwise(times))


def test_a_cluster_that_is_gone_is_an_error(work, job, plan):
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        results = run_on_dask(client, work, {**job, "seconds": 0.1}, PARTS, plan)
        next(results)
        cluster.close()
        with pytest.raises(RuntimeError, match=r"does not answer any more.*resume=True"):
            list(results)


def test_the_client_is_found_but_not_by_tasks(client):
    assert active_client() is client
    assert client.submit(lambda: import_module("sims_tools.stores._dask").active_client() is None).result()


def test_workers_of_a_machine_take_turns(client):
    def own_turn() -> int:
        import distributed

        worker = distributed.get_worker()
        found = import_module("sims_tools.stores._dask")
        return turn(found._beside(worker), worker.address, 2)

    client.wait_for_workers(2)
    workers = list(client.ncores())
    turns = [client.submit(own_turn, workers=[worker], pure=False).result() for worker in workers]
    assert sorted(turns) == [0, 1]


# --- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "n_found", "expected"),
    [
        ({}, 0, []),
        ({}, 3, ["0", "1", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "3, GPU-a1b2"}, 2, ["3", "GPU-a1b2"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, 0, []),
    ],
)
def test_a_process_is_shown_a_device_that_its_parent_sees(environment, n_found, expected):
    assert device_ids(environment, n_found) == expected


def test_devices_are_taken_in_turns(work, job, monkeypatch):
    from sims_tools.stores import _processes

    monkeypatch.setattr(_processes, "n_devices", lambda: 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    results = list(run_in_processes(work, {**job, "seconds": 0.1}, PARTS, n_jobs=3, n_threads=3))
    seen = {pid: environment["CUDA_VISIBLE_DEVICES"] for _, _, pid, _, environment, _ in results}
    assert sorted(seen.values()) == ["4", "4", "7"]
    assert [turn(["tcp://b", "tcp://a", "tcp://c"], f"tcp://{name}", 2) for name in "abc"] == [0, 1, 0]


def test_the_number_of_processes():
    import joblib

    assert count_processes(3, 0) == 3
    assert count_processes(-1, 4) == 4
    assert count_processes(-1, 0) == joblib.cpu_count()
    for wrong in (0, -2):
        with pytest.raises(ValueError, match=f"n_jobs={wrong}"):
            count_processes(wrong, 0)
