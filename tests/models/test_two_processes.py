"""Training shared by two real processes on this machine, by torchrun and by Lightning's own launcher, over gloo."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sims_tools as sims

SCRIPT = Path(__file__).with_name("on_two_processes.py")
_SPEC = importlib.util.spec_from_file_location("on_two_processes", SCRIPT)
script = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(script)
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")

SHARED = ("references", "streamed", "pretrained", "module", "module shards")
OTHERS = (*SHARED, "module not shared", "different seeds")
ALIKE = (*script.TRAININGS, *SHARED)

Found = dict[str, list[dict[str, Any]]]
"""What each of the two processes found, by the name of the training."""


def run(launcher: tuple[str, ...], folder: Path, *names: str) -> subprocess.CompletedProcess[str]:
    """Run the script; all of its processes are gone afterwards."""
    about_processes = {"RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}
    env = {name: value for name, value in os.environ.items() if name not in about_processes} | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*launcher, str(SCRIPT), str(folder), *names],
        env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=200)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    return subprocess.CompletedProcess(process.args, process.returncode, output)


def read(folder: Path) -> Found:
    by_rank = [torch.load(folder / f"found-{rank}.pt") for rank in (0, 1)]
    return {name: [each[name] for each in by_rank] for name in by_rank[0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    script.numbered_cells().write_h5ad(folder / "cells.h5ad")
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """Both processes' results of all trainings, by torchrun; one of the trainings was killed before."""
    killed = run(TORCHRUN, folder, "killed")
    assert killed.returncode != 0
    assert "Signal 9" in killed.stdout or "SIGKILL" in killed.stdout
    assert [path.name for path in (folder / "kept").iterdir()] == ["training.safetensors"]
    done = run(TORCHRUN, folder, "gone on", "uninterrupted", *script.TRAININGS, *OTHERS)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("Traceback") == 0
    assert "Minibatches of 25 cells are shared by 2 processes: each sees 12 at a time" in done.stdout
    return read(folder)


@pytest.mark.parametrize("name", ALIKE)
def test_both_end_with_the_same_model(found, folder, name):
    """Weights, running statistics, history, confidence and gene weights, to the bit."""
    one, other = found[name]
    assert (one["rank"], other["rank"]) == (0, 1)
    assert one["weights"].keys() == other["weights"].keys()
    assert all(torch.equal(values, other["weights"][key]) for key, values in one["weights"].items())
    for part in ("history", "gene_weights", "described"):
        assert repr(one[part]) == repr(other[part])
    loaded = sims.models.load(folder / "models" / name)  # the first has written it
    assert all(torch.equal(values, one["weights"][key]) for key, values in loaded.module.state_dict().items())


@pytest.mark.parametrize("name", [name for name in script.TRAININGS if name != "balanced"])
def test_each_cell_comes_once_an_epoch(found, name):
    one, other = found[name]
    assert len(one["train"]) == len(other["train"]) == len(one["history"]["epoch"])
    orders = []
    for mine, theirs in zip(one["train"], other["train"], strict=True):
        assert all(abs(len(a) - len(b)) <= 1 for a, b in zip(mine, theirs, strict=True))
        orders.append(sum(mine + theirs, []))
        assert len(set(orders[-1])) == len(orders[-1])
    assert {frozenset(each) for each in orders} == {frozenset(orders[0])}  # one split for all
    assert len({tuple(each) for each in orders}) == len(orders)
    held_out = set(range(1, 212)) - set(orders[0])
    for mine, theirs in zip(one["validation"], other["validation"], strict=True):
        assert sorted(mine + theirs) == sorted(held_out)
    assert len(held_out) == (0 if name == "no validation" else 21)


def test_a_stream_is_shared(found):
    one, other = found["streamed"]
    for mine, theirs in zip(one["train"], other["train"], strict=True):
        assert len(mine) == len(theirs)
        cells = sum(mine + theirs, [])
        assert len(set(cells)) == 190
        assert len(cells) - len(set(cells)) <= 1  # one may even them out
    held_out = set(range(1, 212)) - set(sum(one["train"][0] + other["train"][0], []))
    assert sorted(one["validation"][0] + other["validation"][0]) == sorted(held_out)


@pytest.mark.parametrize("name", ["module", "module shards"])
def test_cells_of_a_data_module_are_shared(found, name):
    """A plain loader by the package, in parts of the same minibatches; an iterable data set by itself."""
    one, other = found[name]
    held_out = set(range(1, 212, 10))
    orders = []
    for mine, theirs in zip(one["train"], other["train"], strict=True):
        assert all(abs(len(a) - len(b)) <= 1 for a, b in zip(mine, theirs, strict=True))
        orders.append(sum(mine + theirs, []))
        assert len(orders[-1]) == len(set(orders[-1]))
        assert set(orders[-1]) == set(range(1, 212)) - held_out
    assert len({tuple(each) for each in orders}) == len(orders) == 3
    sizes = [len(each) for each in one["train"][0]]
    assert sizes == ([19] * 5 if name == "module" else [38, 38, 19])
    for mine, theirs in zip(one["validation"], other["validation"], strict=True):
        assert sorted(mine + theirs) == sorted(held_out)


def test_a_data_module_that_gives_all_processes_the_same_cells_is_refused(found):
    for each in found["module not shared"]:
        assert "Processes 0 and 1 were given the same cells by `Module` in their first epoch (100% in" in each["error"]
        assert "torch.distributed.get_rank()" in each["error"]


@pytest.mark.parametrize("name", ["actinn", "balanced"])
def test_they_do_what_one_process_does(found, name):
    """A network without batch norm and dropout is trained alike, and its epochs are judged alike, by one process."""
    alone = sims.tl.train(script.numbered_cells(), "cell_type", **script.TRAININGS[name])
    together, _ = found[name]
    for key, values in alone.module.state_dict().items():
        torch.testing.assert_close(together["weights"][key], values, rtol=1e-4, atol=1e-6)
    history = alone.history_by_epoch
    assert {"validation_loss", "train_loss", "macro_f1_validation", "accuracy_train"} <= set(history)
    for key, values in history.items():
        np.testing.assert_allclose(together["history"][key], values, rtol=1e-5, err_msg=key)


def test_all_decide_alike_when_to_stop(found):
    one, other = found["stopped early"]
    assert len(one["train"]) == len(other["train"]) == len(one["history"]["epoch"]) < 9
    alone = sims.tl.train(script.numbered_cells(), "cell_type", **script.TRAININGS["stopped early"])
    assert len(alone.history_by_epoch["epoch"]) == len(one["train"])


def test_only_the_first_process_logs(found, folder):
    versions = list((folder / "log").iterdir())
    assert [path.name for path in versions] == ["version_0"]
    assert len((versions[0] / "metrics.csv").read_text().splitlines()) > 3


def test_different_trainings_do_not_share_minibatches(found):
    """Both processes end with an error that says in what they differ."""
    for each in found["different seeds"]:
        assert "Process 1 was given another training than the first" in each["error"]
        assert "random_state (0 there, 1 here)" in each["error"]


def test_lightning_starts_the_processes_and_ctrl_c_leaves_the_model_so_far(found, tmp_path):
    done = run((sys.executable,), tmp_path, "averaged", "interrupted")
    assert done.returncode == 0, done.stdout
    first, second = (torch.load(tmp_path / f"found-{rank}.pt") for rank in (0, 1))
    for each in (first["averaged"], second["averaged"]):
        expected = found["averaged"][0]["weights"]
        assert all(torch.equal(values, expected[key]) for key, values in each["weights"].items())
    assert first["interrupted"]["interrupted"]
    assert len(first["interrupted"]["history"]["epoch"]) == 2
    assert "Training was interrupted after 2 epochs" in done.stdout
    assert sims.models.load(tmp_path / "models" / "interrupted").was_interrupted_
    assert (tmp_path / "kept" / "training.safetensors").exists()


def test_what_was_killed_goes_on_to_the_same_bits(found, folder):
    assert [len(each["train"]) for each in found["gone on"]] == [2, 2]
    expected = found["uninterrupted"][0]
    for each in found["gone on"]:
        assert all(torch.equal(values, expected["weights"][key]) for key, values in each["weights"].items())
        assert each["described"] == expected["described"]
    with pytest.raises(ValueError, match="holds a training on 2 processes, and here are 1"):
        sims.tl.sims_train(script.numbered_cells(), "cell_type", checkpoint=folder / "kept", **script.KILLED)


# --- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_notebook", "ddp_fork"])
def test_processes_that_end_with_training_are_refused(cells, strategy):
    with pytest.raises(ValueError, match=rf"{strategy}.*leaves the trained model in processes.*Write a script"):
        sims.tl.sims_train(cells, "cell_type", **{**script.TABNET, **script.TWO, "strategy": strategy})


@pytest.mark.parametrize("strategy", ["auto", "ddp"])
def test_a_notebook_cannot_share_a_training(cells, monkeypatch, strategy):
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    with pytest.raises(ValueError, match="notebook or interactive session.*Write a script"):
        sims.tl.sims_train(cells, "cell_type", **{**script.TABNET, **script.TWO, "strategy": strategy})
    sims.tl.train(cells, "cell_type", model="actinn", **{**script.RUN, "max_epochs": 1})
