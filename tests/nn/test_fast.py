"""The compiled kernels compute the plain network's function."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sims_tools.nn import SparseRows, TabNet, _fast, _paths
from sims_tools.nn._fast import _attention, _encode
from sims_tools.nn._paths import steady_threads

CLASSES = 4


def features(seed, n_rows, n_input, density, *, ties=False):
    rng = np.random.default_rng(seed)
    x = rng.gamma(2.0, 1.0, (n_rows, n_input)) * (rng.random((n_rows, n_input)) < density)
    x = np.ceil(x) if ties else x
    x[rng.random(n_rows) < 0.1] = 0
    return torch.from_numpy(x)


def network(seed, n_input, **params):
    torch.manual_seed(seed)
    net = TabNet(n_input, CLASSES, sparsity=0.1, **params).double()
    with torch.no_grad():
        for name, value in [*net.named_parameters(), *net.named_buffers()]:
            if "bn.bias" in name or "running_mean" in name:
                value.add_(0.3 * torch.randn_like(value))
            elif "bn.weight" in name or "running_var" in name:
                value.mul_(torch.rand_like(value) + 0.5)
    return net


@pytest.fixture(params=["held", "screened", "side by side"])
def way(request, monkeypatch):
    """Kernel after kernel, all scores of a chunk held or screened a tile at a time; and the network in one call."""
    monkeypatch.setattr(_attention, "_HELD_BYTES", 1 << 30 if request.param == "held" else 0)
    monkeypatch.setattr(_encode, "suits", lambda *_: request.param == "side by side")
    return request.param


def run(net, x, targets):
    output = net(x, explain=True)
    loss = F.cross_entropy(output.logits, targets) + output.penalty
    loss.backward()
    return output


def error(found, expected):
    scale = float(expected.detach().abs().max()) if expected.numel() else 0.0
    return float((found.double() - expected.double()).abs().max()) / max(scale, 1e-12) if expected.numel() else 0.0


def compare(net, x, tolerance=1e-5):
    plain, targets = copy.deepcopy(net), torch.arange(len(x)) % CLASSES
    expected = run(plain, x, targets)
    found = run(net, SparseRows.from_dense(x), targets)
    assert error(found.logits, expected.logits) < tolerance
    assert error(found.embedding, expected.embedding) < tolerance
    assert error(found.masks.to_dense(), expected.masks) < tolerance
    assert error(found.penalty, expected.penalty) < tolerance
    for (name, own), theirs in zip(net.named_buffers(), plain.buffers(), strict=True):
        assert error(own, theirs) < tolerance, name
    largest = max(float(each.grad.abs().max()) for each in plain.parameters())
    for (name, own), theirs in zip(net.named_parameters(), plain.parameters(), strict=True):
        scale = max(float(theirs.grad.abs().max()), 1e-4 * largest)
        assert float((own.grad - theirs.grad).abs().max()) <= tolerance * scale, name


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**16),
    n_rows=st.sampled_from([1, 2, 3, 16, 17, 33, 40]),
    n_input=st.integers(1, 150),
    density=st.sampled_from([0.0, 0.07, 0.5, 1.0]),
    ties=st.booleans(),
    training=st.booleans(),
    params=st.fixed_dictionaries(
        {
            "selector": st.sampled_from(["sparsemax", "entmax15"]),
            "n_d": st.integers(1, 9),
            "n_a": st.integers(1, 17),
            "n_steps": st.integers(1, 4),
            "gamma": st.sampled_from([1.0, 1.3, 2.0]),
            "n_shared": st.integers(0, 2),
            "n_independent": st.integers(1, 2),
            "virtual_batch_size": st.sampled_from([None, 1, 2, 16]),
            "center": st.booleans(),
            "attention_scale": st.sampled_from([0.01, 0.3, 1.0]),
            "max_selected": st.sampled_from([None, 1, 3, 40]),
            "nonzero_only": st.booleans(),
        }
    ),
)
def test_equals_the_plain_network(way, seed, n_rows, n_input, density, ties, training, params):
    net = network(seed, n_input, **params).train(training)
    x = features(seed, n_rows, n_input, density, ties=ties)
    assume(not (training and n_rows >= 2 and _is_singular(net, x)))
    compare(net, x)


def _is_singular(net, x):
    """Whether batch norm divides by next to nothing: rounding then decides which features are selected."""
    plain, smallest = copy.deepcopy(net), []
    hooks = [
        each.register_forward_pre_hook(lambda _, args: smallest.append(float(args[0].var(0).min())))
        for each in plain.modules()
        if isinstance(each, torch.nn.BatchNorm1d) and each is not getattr(plain.input_norm, "bn", None)
    ]
    plain(x)
    for hook in hooks:
        hook.remove()
    return min(smallest, default=1.0) < 1e-3


@pytest.mark.parametrize("selector", ["sparsemax", "entmax15"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    ("n_rows", "params"),
    [
        (1, {}),
        (2, {}),
        (33, {}),
        (64, {"n_steps": 10, "gamma": 1.5, "virtual_batch_size": None}),
        (64, {"n_d": 24, "n_a": 40, "attention_scale": 0.02}),
        (64, {"n_d": 24, "n_a": 40, "attention_scale": 0.02, "max_selected": 30}),
        (64, {"max_selected": 3}),
        (64, {"max_selected": 30, "nonzero_only": True, "attention_scale": 0.02}),
        (300, {"nonzero_only": True, "virtual_batch_size": None}),
        (300, {"n_d": 16, "n_a": 16, "virtual_batch_size": None}),
        (300, {"n_d": 8, "n_a": 8, "virtual_batch_size": 128}),
    ],
)
def test_equals_the_plain_network_on_many_features(way, selector, center, n_rows, params):
    params = {"virtual_batch_size": 16, **params}
    net = network(0, 2500, selector=selector, center=center, **params)
    x = features(1, n_rows, 2500, 0.1)
    compare(net, x, 1e-5 if n_rows > 2 else 1e-3)
    compare(copy.deepcopy(net).eval(), x)


@pytest.fixture
def small():
    torch.manual_seed(0)
    net = TabNet(700, CLASSES, n_d=16, n_a=16, sparsity=0.1, attention_scale=0.1, virtual_batch_size=64)
    return net, SparseRows.from_dense(features(0, 300, 700, 0.1).float())


def bits(net, rows):
    net = copy.deepcopy(net)
    output = run(net, rows, torch.arange(rows.n_rows) % CLASSES)
    found = [output.logits, output.penalty, output.masks.values, *(each.grad for each in net.parameters())]
    return [each.detach() for each in [*found, *net.buffers()]]


def test_the_same_bits_on_any_number_of_threads(way, small):
    net, rows = small
    before = torch.get_num_threads()
    with steady_threads():
        expected = bits(net, rows)
    try:
        for n_threads in (1, 3, 4):
            torch.set_num_threads(n_threads)
            with steady_threads():
                assert torch.get_num_threads() == 1
                found = bits(net, rows)
            assert torch.get_num_threads() == n_threads
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    finally:
        torch.set_num_threads(before)


def test_single_precision_errs_no_more_than_the_plain_network(way, small):
    net, rows = small
    exact = copy.deepcopy(net).double()
    targets = torch.arange(rows.n_rows) % CLASSES
    expected = run(exact, rows.to_dense().double(), targets)
    plain, fast = copy.deepcopy(net), copy.deepcopy(net)
    outputs = run(plain, rows.to_dense(), targets), run(fast, rows, targets)
    assert error(outputs[1].logits, expected.logits) < 3 * error(outputs[0].logits, expected.logits) + 1e-6
    for (name, truth), dense, own in zip(exact.named_parameters(), plain.parameters(), fast.parameters(), strict=True):
        assert error(own.grad, truth.grad) < 3 * error(dense.grad, truth.grad) + 1e-5, name


def test_where_kernels_cannot_run_the_plain_network_does_and_says_so_once(small, monkeypatch, caplog):
    net, rows = small
    expected = net.eval()(rows, explain=True)

    def broken():
        raise RuntimeError("no compiler today")

    monkeypatch.setattr(_fast, "check", broken)
    _paths.cpu_kernels.cache_clear()
    try:
        for _ in range(2):
            found = net(rows, explain=True)
            torch.testing.assert_close(found.logits, expected.logits, atol=1e-4, rtol=1e-3)
            torch.testing.assert_close(found.masks.to_dense(), expected.masks.to_dense(), atol=1e-4, rtol=1e-3)
        with steady_threads():
            pass
    finally:
        _paths.cpu_kernels.cache_clear()
    assert caplog.text.count("no compiler today") == 1


def test_half_precision_and_wanted_gradients_of_features_take_the_plain_network(small):
    net, rows = small
    half = copy.deepcopy(net).bfloat16().eval()
    assert half(rows.to(torch.bfloat16)).logits.dtype == torch.bfloat16
    wanted = rows.with_values(rows.values.clone().requires_grad_())
    net(wanted).logits.sum().backward()
    assert wanted.values.grad.abs().sum() > 0


def test_no_rows_and_one_row(small):
    net, rows = small
    none = SparseRows.from_dense(rows.to_dense()[:0])
    assert net.eval()(none, explain=True).logits.shape == (0, CLASSES)
    one = SparseRows.from_dense(rows.to_dense()[:1])
    output = net.train()(one, explain=True)
    torch.testing.assert_close(output.masks.values.sum(), torch.tensor(1.0))


def test_not_a_number_is_passed_on(way, small):
    net, rows = small
    values = rows.values.clone()
    values[0] = float("nan")
    output = net.eval()(rows.with_values(values), explain=True)
    assert output.logits[0].isnan().all()
    assert output.logits[1:].isfinite().all()


def test_weights_laid_out_by_output_give_the_same(small):
    net, rows = small
    expected = net.eval()(rows).logits
    net.shared[0].weight.data = net.shared[0].weight.data.contiguous()
    torch.testing.assert_close(net(rows).logits, expected)


def test_features_of_another_width_are_refused(small):
    net, _ = small
    with pytest.raises(ValueError, match="700"):
        net(SparseRows.from_dense(torch.zeros(3, 5)))


def test_step_masks_are_those_of_the_plain_network(small):
    net, rows = small
    net.double().eval()
    rows = rows.to(torch.float64)
    for found, expected in zip(net.step_masks(rows), net.step_masks(rows.to_dense()), strict=True):
        torch.testing.assert_close(found.to_dense(), expected)


def test_two_backward_passes_add_up(small):
    net, rows = small
    loss = net(rows).logits.square().mean()
    loss.backward(retain_graph=True)
    once = [each.grad.clone() for each in net.parameters()]
    loss.backward()
    for first, both in zip(once, net.parameters(), strict=True):
        torch.testing.assert_close(both.grad, 2 * first)


def test_weights_changed_before_the_backward_pass_are_noticed(small):
    net, rows = small
    loss = net(rows).logits.square().mean()
    with torch.no_grad():
        net.attentives[0].linear.weight.mul_(2)
    with pytest.raises(RuntimeError, match="in place"):
        loss.backward()
    loss = net(rows).logits.square().mean()
    net.attentives[0].linear.weight.data = net.attentives[0].linear.weight.data.clone()  # kernels know addresses only
    with pytest.raises(RuntimeError, match="in place"):
        loss.backward()
