"""Which version of the wide operations runs, and what is said where the kernels cannot."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from unittest import mock

import pytest
import torch

from sims_tools.nn._gpu import _ops, _torch_ops

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are first imported


@pytest.fixture
def fresh_probe() -> Iterator[None]:
    _ops._triton_runs.cache_clear()
    yield
    _ops._triton_runs.cache_clear()


def test_without_triton_plain_torch_runs_and_says_so_once(fresh_probe: None, caplog: pytest.LogCaptureFixture) -> None:
    with mock.patch.object(_ops, "find_spec", return_value=None):
        for _ in range(2):
            assert _ops.ops_for(torch.device("cuda", 0)) is _torch_ops
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Triton is not installed" in caplog.text


@pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
def test_kernels_that_fail_give_way_to_plain_torch(fresh_probe: None, caplog: pytest.LogCaptureFixture) -> None:
    from sims_tools.nn._gpu import _triton_ops

    device = torch.device(DEVICE)
    assert _ops._triton_runs(device)
    assert not caplog.records
    _ops._triton_runs.cache_clear()
    with mock.patch.object(_triton_ops, "select", side_effect=RuntimeError("no C compiler")):
        for _ in range(2):
            assert not _ops._triton_runs(device)
    assert len(caplog.records) == 1
    assert "(no C compiler)" in caplog.text


def test_kernels_are_for_gpus_only(fresh_probe: None) -> None:
    assert _ops.ops_for(torch.device("cpu")) is _torch_ops
