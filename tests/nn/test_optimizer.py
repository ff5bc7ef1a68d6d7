"""Adam and averages by compiled kernels are torch's."""

import copy

import pytest
import torch
from torch import nn

from sims_tools.nn import Follower, ThreadedAdam, ThreadedAdamW, _fast, _optimizer, _paths, steady_threads

PAIRS = [(ThreadedAdam, torch.optim.Adam), (ThreadedAdamW, torch.optim.AdamW)]


def weights(dtype=torch.float32):
    """Large, large and turned, and small."""
    torch.manual_seed(0)
    shapes = [torch.randn(300, 250), torch.randn(250, 300).t(), torch.randn(70)]
    return [nn.Parameter(each.to(dtype)) for each in shapes]


def set_grads(parameters, seed):
    torch.manual_seed(seed)
    for each in parameters:  # laid out as autograd would
        each.grad = torch.empty_like(each, requires_grad=False).copy_(torch.randn(each.shape, dtype=each.dtype))


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip", [None, 3.0, 1e6])
def test_steps_are_those_of_torch(ours, torchs, dtype, clip):
    found, expected = weights(dtype), weights(dtype)
    options = {"lr": 0.01, "weight_decay": 0.1, "fused": True}
    own, theirs = ours(found, **options), torchs(expected, **options)
    schedules = [torch.optim.lr_scheduler.OneCycleLR(each, 0.01, total_steps=6) for each in (own, theirs)]
    for seed in range(6):
        set_grads(found, seed)
        set_grads(expected, seed)
        if clip is not None:
            own.clip(clip)
            nn.utils.clip_grad_norm_(expected, clip)
        for each in (own, theirs, *schedules[: 2 if seed < 5 else 0]):
            each.step()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-6)


@pytest.mark.parametrize(("ours", "torchs"), PAIRS)
def test_the_state_is_that_of_torch(ours, torchs):
    found, expected = weights(), weights()
    own, theirs = ours(found, lr=0.01, fused=True), torchs(expected, lr=0.01, fused=True)
    set_grads(found, 0)
    own.step()
    theirs.load_state_dict(copy.deepcopy(own.state_dict()))
    with torch.no_grad():
        for a, b in zip(expected, found, strict=True):
            a.copy_(b)
    for optimizer, parameters in ((own, found), (theirs, expected)):
        set_grads(parameters, 1)
        optimizer.step()
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_the_same_bits_on_any_number_of_threads():
    results, before = [], torch.get_num_threads()
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            parameters = weights()
            optimizer = ThreadedAdamW(parameters, lr=0.01, fused=True)
            with steady_threads():
                set_grads(parameters, 0)
                optimizer.clip(1.0)
                optimizer.step()
            results.append(parameters)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_a_clip_counts_for_one_step_and_weights_without_gradient_stay():
    parameters = weights()
    kept = parameters[1].detach().clone()
    optimizer = ThreadedAdam(parameters, lr=0.01, fused=True)
    set_grads(parameters, 0)
    parameters[1].grad = None
    before = parameters[0]._version
    optimizer.clip(1e-3)
    assert optimizer.step(lambda: 5.0) == 5.0
    assert parameters[0]._version > before
    assert optimizer._factor == 1.0
    assert torch.equal(parameters[1], kept)
    assert parameters[0].grad is not None


def test_without_kernels_torch_does_it_all(monkeypatch):
    def broken():
        raise RuntimeError("no compiler today")

    expected, found = weights(), weights()
    for parameters in (expected, found):
        set_grads(parameters, 0)
    ThreadedAdamW(expected, lr=0.01, fused=True).step()
    monkeypatch.setattr(_fast, "check", broken)
    _paths.cpu_kernels.cache_clear()
    try:
        assert not any(_optimizer._readable(each) for each in found)
        ThreadedAdamW(found, lr=0.01, fused=True).step()
        averages = [each.detach().clone() for each in expected]
        Follower(averages, found).follow(0.5)
    finally:
        _paths.cpu_kernels.cache_clear()
    for a, b, c in zip(found, expected, averages, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c)


def test_gradients_laid_out_otherwise_are_brought_into_line():
    found, expected = weights(), weights()
    for parameters in (found, expected):
        set_grads(parameters, 0)
    found[1].grad = found[1].grad.contiguous()
    for parameters in (found, expected):
        optimizer = ThreadedAdam(parameters, lr=0.01, fused=True)
        optimizer.clip(1.0)
        optimizer.step()
    assert torch.equal(found[1], expected[1])


def test_averages_move_by_their_share():
    values = [each.detach() for each in weights()]
    averages = copy.deepcopy([each * 0 for each in values])
    Follower(averages, values).follow(0.25)
    for average, value in zip(averages, values, strict=True):
        torch.testing.assert_close(average, 0.25 * value)
