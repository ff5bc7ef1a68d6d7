"""The fast TabNet for a GPU is the plain one: its torch operations anywhere, its kernels where Triton is."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from typing import Any
from unittest import mock

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses.fake_tensor import DynamicOutputShapeException, FakeTensorMode
from torch.nn.functional import cross_entropy

from sims_tools.nn import SparseRows, TabNet
from sims_tools.nn._explanation import size_shares
from sims_tools.nn._gpu import _attend, _encode, _sparse_linear, _torch_ops, encode, supported
from sims_tools.nn._output import LOG_FLOOR, Trace

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
if not CUDA:
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are first imported
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="needs triton")
OPS = ["torch", pytest.param("triton", marks=needs_triton)]
Case = dict[str, Any]
Results = dict[str, Tensor]
C = 3


@contextmanager
def using(name: str) -> Iterator[None]:
    """Run the wide operations in this version."""
    ops = _torch_ops
    if name == "triton":
        from sims_tools.nn._gpu import _triton_ops as ops
    with ExitStack() as stack:
        for module in (_attend, _sparse_linear):
            stack.enter_context(mock.patch.object(module, "ops_for", return_value=ops))
        yield


def make(*, dtype: torch.dtype = torch.float64, seed: int = 0, tied: bool = False, **settings: Any) -> TabNet:
    """A network whose every norm is off its initial state; tied: its features in two identical halves."""
    torch.manual_seed(seed)
    network = TabNet(settings.pop("n_input", 24), C, **{"sparsity": 0.05, **settings}).to(dtype)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.weight.data.mul_(torch.rand_like(module.weight) + 0.5)
            nn.init.normal_(module.bias, std=0.3)
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    if tied:
        half = network.n_input // 2
        for attentive in network.attentives:
            for value in (attentive.linear.weight, *attentive.norm.bn.parameters(), *attentive.norm.bn.buffers()):
                if value.ndim:
                    value.data[half : 2 * half] = value.data[:half]
    return network


def batch(rows: int, n_input: int = 24, *, density: float = 0.4, seed: int = 0) -> Tensor:
    """(rows, n_input) float64 features; the last row is empty."""
    generator = torch.Generator().manual_seed(seed)
    x = 3 * torch.rand(rows, n_input, dtype=torch.float64, generator=generator)
    x *= torch.rand(x.shape, generator=generator) < density
    x[rows - 1 :] = 0
    return x


def collect(network: TabNet, logits: Tensor, entropy: Tensor, masks: Tensor, steps: list[Tensor]) -> Results:
    """Everything two versions must agree on; runs the backward pass."""
    labels = torch.arange(len(logits), device=logits.device) % C
    (cross_entropy(logits, labels) + 0.05 * entropy).backward()
    found = {"logits": logits, "entropy": entropy, "masks": masks}
    found |= {f"mask {step}": mask for step, mask in enumerate(steps)}
    found |= {f"gradient of {name}": value.grad for name, value in network.named_parameters()}
    found |= {name: value.double() for name, value in network.named_buffers()}
    return {name: value.detach().cpu().double() for name, value in found.items()}


def plain(network: TabNet, x: Tensor) -> Results:
    network = copy.deepcopy(network)
    x = x.to(network.head.weight.dtype)
    steps = copy.deepcopy(network).step_masks(x)
    output = network(x, explain=True)
    return collect(network, output.logits, output.penalty / network.sparsity, output.masks, steps)


def fast(network: TabNet, x: Tensor, ops: str) -> Results:
    network = copy.deepcopy(network).to(DEVICE)
    with using(ops):
        found = encode(network, SparseRows.from_dense(x.to(DEVICE)), keep_steps=True)
        logits = network.head(found.embedding)
        steps = [step.to_dense() for step in found.trace.masks]
        return collect(network, logits, found.entropy, joined(found.trace).to_dense(), steps)


def joined(trace: Trace) -> SparseRows:
    return trace.join(size_shares(trace.decisions[None])[0])


def distance(found: Results, expected: Results) -> tuple[float, str]:
    """Largest difference of all, relative to the largest entry of its tensor, and its name."""
    assert found.keys() == expected.keys()

    def one(name: str) -> float:
        if not expected[name].numel():
            return 0.0
        difference = (found[name] - expected[name]).abs().max()
        return (difference / expected[name].abs().max().clamp(min=1e-6)).item()

    return max((one(name), name) for name in expected)


@st.composite
def cases(draw: st.DrawFn, *, small: bool = False) -> tuple[Case, Tensor, bool]:
    """Network, features, training or evaluation; small enough to be interpreted, if so asked."""
    n_shared = draw(st.integers(0, 3))
    n_input = draw(st.integers(1, 12 if small else 40))
    settings = {
        "n_input": n_input,
        "n_d": draw(st.integers(1, 6)),
        "n_a": draw(st.integers(1, 6)),
        "n_steps": draw(st.sampled_from([1, 2, 3] if small else [1, 2, 3, 5, 10])),
        "gamma": draw(st.sampled_from([1.0, 1.3, 2.0])),
        "n_shared": n_shared,
        "n_independent": draw(st.integers(0 if n_shared else 1, 2)),
        "selector": draw(st.sampled_from(["sparsemax", "entmax15"])),
        "virtual_batch_size": draw(st.sampled_from([None, 1, 4, 5, 8])),
        "momentum": draw(st.sampled_from([0.02, 0.3, 1.0])),
        "center": draw(st.booleans()),
        "attention_scale": draw(st.sampled_from([0.02, 1.0, 5.0])),
        "max_selected": draw(st.sampled_from([None, 1, 4])),
        "nonzero_only": draw(st.booleans()),
        "tied": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }
    rows = draw(st.sampled_from([1, 2, 5, 8] if small else [1, 2, 3, 8, 9, 13, 16, 17]))
    x = batch(rows, n_input, density=draw(st.sampled_from([0.0, 0.1, 0.4, 1.0])), seed=settings["seed"])
    return settings, x, draw(st.booleans())


def shaken(network: TabNet) -> TabNet:
    """A copy with weights that differ in the 13th digit."""
    network = copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.data.mul_(1 + 1e-13 * torch.randn(value.shape, dtype=value.dtype, generator=generator))
    return network


def agree(case: tuple[Case, Tensor, bool], ops: str) -> None:
    settings, x, training = case
    network = make(**settings).train(training)
    expected = plain(network, x)
    # where the plain network changes as its weights are rounded anew, nothing can be compared
    assume(distance(plain(shaken(network), x), expected)[0] < 1e-7)
    error, name = distance(fast(network, x, ops), expected)
    assert error < 1e-6, name


@settings(derandomize=True, deadline=None, max_examples=60)
@given(case=cases())
def test_equals_the_plain_network(case: tuple[Case, Tensor, bool]) -> None:
    agree(case, "torch")


@needs_triton
@settings(derandomize=True, deadline=None, max_examples=10 if DEVICE == "cpu" else 60)
@given(case=cases(small=DEVICE == "cpu"))
def test_kernels_equal_the_plain_network(case: tuple[Case, Tensor, bool]) -> None:
    agree(case, "triton")


@pytest.mark.parametrize("ops", OPS)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("selector", ["sparsemax", "entmax15"])
def test_single_precision_loses_no_more_than_the_plain_network_does(selector: str, center: bool, ops: str) -> None:
    rows = 32 if ops == "torch" or CUDA else 6
    network = make(selector=selector, center=center, n_input=60, n_steps=2, virtual_batch_size=16)
    x = batch(rows, 60)
    exact, single = plain(network, x), network.float()
    found, expected = fast(single, x, ops), plain(single, x)
    if selector == "sparsemax":  # its gradient jumps where rounding moves a gene across the threshold
        exact, found, expected = (
            {name: value for name, value in results.items() if "gradient" not in name}
            for results in (exact, found, expected)
        )
    error, name = distance(found, exact)
    assert error < 10 * distance(expected, exact)[0], name
    assert error < 1e-3, name


def test_a_frozen_norm_keeps_its_running_statistics() -> None:
    network = make(virtual_batch_size=8).train()
    for part in (network.attentives[0], network.transformers[1].norms[2], network.input_norm):
        part.eval()
    assert distance(fast(network, batch(24), "torch"), plain(network, batch(24)))[0] < 1e-9


@pytest.mark.parametrize("ops", OPS)
def test_no_rows(ops: str) -> None:
    network = make().eval().to(DEVICE)
    rows = SparseRows.from_dense(batch(0).to(DEVICE))
    with using(ops), torch.no_grad():
        found = encode(network, rows, keep_steps=True)
    assert found.embedding.shape == (0, 8)
    assert found.entropy == 0
    assert joined(found.trace).shape == (0, 24)


def test_what_is_not_asked_for_is_not_made() -> None:
    found = encode(make(), SparseRows.from_dense(batch(9)), keep_steps=False)
    assert found.trace is None


def test_blocks_of_rows_give_the_same_as_one_batch() -> None:
    network, rows = make().eval(), SparseRows.from_dense(batch(23))
    with torch.no_grad():
        whole = encode(network, rows, keep_steps=True)
        with mock.patch.object(_encode, "BLOCK_ELEMENTS", 5 * 24):
            sizes = [block.n_rows for block in _encode._blocks(rows, 5)]
            parts = encode(network, rows, keep_steps=True)
    assert sizes == [5, 5, 5, 5, 3]
    torch.testing.assert_close(parts.embedding, whole.embedding)
    torch.testing.assert_close(parts.entropy, whole.entropy)
    torch.testing.assert_close(parts.trace.decisions, whole.trace.decisions)
    for found, expected in zip(parts.trace.masks, whole.trace.masks, strict=True):
        assert torch.equal(found.indptr, expected.indptr)
        assert torch.equal(found.indices, expected.indices)
        torch.testing.assert_close(found.values, expected.values)


def test_a_training_batch_is_never_cut() -> None:
    network, rows = make(virtual_batch_size=8).train(), SparseRows.from_dense(batch(23))
    other = copy.deepcopy(network)
    with torch.no_grad(), mock.patch.object(_encode, "BLOCK_ELEMENTS", 1):
        cut = encode(network, rows, keep_steps=False)
    assert torch.equal(cut.embedding, encode(other, rows, keep_steps=False).embedding)


def test_mixed_precision_computes_in_the_precision_of_the_weights() -> None:
    network, rows = make(dtype=torch.float32).eval(), SparseRows.from_dense(batch(9).float())
    expected = encode(network, rows, keep_steps=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = encode(network, rows, keep_steps=True)
    assert found.embedding.dtype == found.trace.masks[0].dtype == torch.float32
    assert torch.equal(found.embedding, expected.embedding)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_nothing_depends_on_the_values_before_they_are_known(training: bool, center: bool) -> None:
    """Tensors without values stand for a device that must not be waited for."""
    with FakeTensorMode():
        network = TabNet(24, C, center=center, virtual_batch_size=8).train(training)
        indices = torch.zeros(90, dtype=torch.int32)
        rows = SparseRows(torch.zeros(21, dtype=torch.int64), indices, torch.zeros(90), 24)
        found = encode(network, rows, keep_steps=False)
        (network.head(found.embedding).sum() + found.entropy).backward()
        assert found.embedding.shape == (20, 8)
        with pytest.raises(DynamicOutputShapeException):  # how many genes a mask holds
            encode(network, rows, keep_steps=True)


def test_supported_only_on_a_gpu() -> None:
    assert not supported(make(), SparseRows.from_dense(batch(9)))


def test_same_floor_under_the_logarithm() -> None:
    assert _torch_ops.LOG_FLOOR == LOG_FLOOR
