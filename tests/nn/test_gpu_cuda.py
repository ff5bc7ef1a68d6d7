"""What the GPU's TabNet promises beyond its results, which can only be seen on a GPU."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from sims_tools.nn import SparseRows, TabNet
from sims_tools.nn._gpu import encode, supported

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


def make(n_input: int = 24, **settings: Any) -> TabNet:
    torch.manual_seed(0)
    return TabNet(n_input, 3, **{"virtual_batch_size": 8, **settings}).cuda()


def batch(rows: int, n_input: int = 24) -> SparseRows:
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.rand(rows, n_input, device="cuda", generator=generator)
    return SparseRows.from_dense(x.where(x > 0.93 if n_input > 1000 else x > 0.6, 0))


def test_supported() -> None:
    network, rows = make(), batch(9)
    assert supported(network, rows)
    assert supported(copy.deepcopy(network).double(), rows)
    assert not supported(copy.deepcopy(network).half(), rows)
    assert not supported(copy.deepcopy(network).cpu(), rows)
    assert not supported(make(25), rows)
    assert not supported(network, rows.with_values(rows.values.int()))
    assert not supported(network, rows.with_values(rows.values.clone().requires_grad_()))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rows", [24, 21])
def test_never_waits_for_the_device(training: bool, rows: int) -> None:
    network, x = make().train(training), batch(rows)

    def step() -> None:
        found = encode(network, x, keep_steps=False)
        (network.head(found.embedding).square().sum() + found.entropy).backward()

    step()  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_memory_of_annotation_is_bounded() -> None:
    network, rows = make(20_000, center=False).eval(), batch(8192, 20_000)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    with torch.no_grad():
        encode(network, rows, keep_steps=True)
    assert torch.cuda.max_memory_allocated() - before < 1e9


def test_same_bits_twice() -> None:
    network, rows = make(center=False), batch(24)
    first, second = (encode(copy.deepcopy(network), rows, keep_steps=True) for _ in range(2))
    assert torch.equal(first.embedding, second.embedding)
    assert torch.equal(first.trace.masks[0].values, second.trace.masks[0].values)
