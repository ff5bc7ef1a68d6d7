"""TabNet's own promises; that its function is the published one is tested in test_tabnet_parity.py."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

import sims_tools.nn
from sims_tools.nn import SELECTORS, NetworkOutput, TabNet

P, C = 30, 4
SETTINGS: dict[str, dict[str, Any]] = {
    "default": {},
    "entmax15": {"selector": "entmax15"},
    "open": {"selector": "entmax15", "center": False, "attention_scale": 0.02},
    "one step": {"n_steps": 1, "n_d": 5, "n_a": 3},
    "only shared": {"n_independent": 0, "n_shared": 1},
    "only own": {"n_shared": 0, "n_independent": 1, "virtual_batch_size": None},
    "few at a time": {"selector": "entmax15", "attention_scale": 0.02, "max_selected": 4},
    "what is there": {"selector": "entmax15", "center": False, "attention_scale": 0.02, "nonzero_only": True},
}
each = pytest.mark.parametrize("name", SETTINGS)


def make(seed: int = 0, **settings: Any) -> TabNet:
    torch.manual_seed(seed)
    return TabNet(P, C, **{"virtual_batch_size": 8, **settings})


def batch(rows: int = 24, seed: int = 0) -> Tensor:
    return torch.randn(rows, P, generator=torch.Generator().manual_seed(seed))


def trained(rows: int = 24, **settings: Any) -> TabNet:
    """A network whose running statistics have seen data, in evaluation mode."""
    network = make(**settings)
    for seed in range(60):
        network(batch(rows, seed))
    return network.eval()


@each
@pytest.mark.parametrize("training", [True, False])
def test_masks_are_shares(name: str, training: bool) -> None:
    network, x = make(**SETTINGS[name]).train(training), batch()
    masks = network.step_masks(x)
    assert len(masks) == SETTINGS[name].get("n_steps", 3)
    for mask in [*masks, network(x, explain=True).masks]:
        assert mask.shape == x.shape
        assert (mask >= 0).all()
        torch.testing.assert_close(mask.sum(1), torch.ones(len(x)))


@each
def test_shapes_and_that_explaining_changes_nothing(name: str) -> None:
    network, x = trained(**SETTINGS[name]), batch()
    plain, explained = network(x), network(x, explain=True)
    assert isinstance(plain, NetworkOutput)
    assert plain.logits.shape == (24, C)
    assert plain.embedding.shape == (24, network.n_d)
    assert plain.penalty.shape == ()
    assert plain.masks is None
    for field in ("logits", "embedding", "penalty"):
        assert torch.equal(getattr(plain, field), getattr(explained, field))
    torch.testing.assert_close(plain.logits, plain.embedding @ network.head.weight.T)


@each
def test_output_is_what_the_steps_say(name: str) -> None:
    network, x = trained(**SETTINGS[name]), batch()
    steps, output = list(network.steps(x)), network(x, explain=True)
    torch.testing.assert_close(output.embedding, sum(step.decision for step in steps))
    aggregated = sum(step.decision.sum(1, keepdim=True) * step.mask for step in steps)
    torch.testing.assert_close(network.aggregated_masks(x), aggregated)
    total = aggregated.sum(1, keepdim=True)
    spoken = total.squeeze() > 0
    assert spoken.sum() > 12
    torch.testing.assert_close(output.masks[spoken], (aggregated / total)[spoken])
    torch.testing.assert_close(output.masks[~spoken], torch.stack([step.mask for step in steps]).mean(0)[~spoken])
    entropy = torch.stack([-torch.special.xlogy(step.mask, step.mask).sum(1).mean() for step in steps]).mean()
    torch.testing.assert_close(output.penalty, 1e-3 * entropy)


@each
def test_evaluation_is_row_by_row(name: str) -> None:
    network, x = trained(**SETTINGS[name]), batch()
    whole = network(x, explain=True)
    for row in (0, 11, 23):
        alone = network(x[row : row + 1], explain=True)
        for field in ("logits", "embedding", "masks"):
            expected = getattr(whole, field)[row : row + 1]
            torch.testing.assert_close(getattr(alone, field), expected, atol=1e-4, rtol=1e-4)


@each
@pytest.mark.parametrize("rows", [1, 2, 9, 17])
def test_any_batch_size_trains(name: str, rows: int) -> None:
    network = make(**SETTINGS[name])
    output = network(batch(rows), explain=True)
    (cross_entropy(output.logits, torch.arange(rows) % C) + output.penalty).backward()
    for value in [output.logits, output.masks, *(parameter.grad for parameter in network.parameters())]:
        assert value.isfinite().all()


def test_a_training_batch_of_one_leaves_the_running_statistics() -> None:
    network = make()
    before = {key: value.clone() for key, value in network.named_buffers()}
    network(batch(1))
    assert all(torch.equal(value, before[key]) for key, value in network.named_buffers())


def test_no_rows() -> None:
    output = make().eval()(batch(0), explain=True)
    assert output.logits.shape == (0, C)
    assert output.masks.shape == (0, P)
    assert output.penalty == 0


@each
def test_every_parameter_learns(name: str) -> None:
    network, x = make(**SETTINGS[name]), batch(64)
    output = network(x)
    (cross_entropy(output.logits, torch.arange(64) % C) + output.penalty).backward()
    for key, parameter in network.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.abs().max() > 0, key


def test_nothing_is_as_large_as_features_squared_or_stored_twice() -> None:
    network = TabNet(1000, 3)
    state = network.state_dict()
    assert max(value.numel() for value in state.values()) == 1000 * 32
    assert len({value.data_ptr() for value in state.values() if value.numel() > 1}) == sum(
        value.numel() > 1 for value in state.values()
    )


@pytest.mark.parametrize("name", SELECTORS)
def test_mixed_precision_keeps_the_masks_in_float32(name: str) -> None:
    network, x = make(selector=name), batch()
    with torch.autocast("cpu", torch.bfloat16):
        output = network(x, explain=True)
        loss = cross_entropy(output.logits, torch.arange(24) % C) + output.penalty
    loss.backward()
    assert output.logits.dtype == torch.bfloat16
    assert output.masks.dtype == output.penalty.dtype == torch.float32
    torch.testing.assert_close(output.masks.sum(1), torch.ones(24))
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
    exact = make(selector=name)(x)
    assert (output.logits.argmax(1) == exact.logits.argmax(1)).float().mean() > 0.7


def test_state_dict_round_trip() -> None:
    network, other = trained(selector="entmax15"), make(seed=1, selector="entmax15").eval()
    assert not torch.equal(other(batch()).logits, network(batch()).logits)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other(batch()).logits, network(batch()).logits)


def test_seeds() -> None:
    def weights(seed: int) -> Tensor:
        return torch.cat([value.flatten() for value in make(seed).parameters()])

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


def test_initial_spread_of_the_weights() -> None:
    torch.manual_seed(0)
    network = TabNet(3000, 400, n_d=16, n_a=16)

    def xavier(n_in: int, n_out: int, gain: float) -> float:
        return gain * math.sqrt(2 / (n_in + n_out))

    def check(weight: Tensor, squared_gain: float) -> None:
        n_out, n_in = weight.shape
        expected = xavier(n_in, n_out, math.sqrt((n_in + n_out) / squared_gain))
        assert weight.std().item() == pytest.approx(expected, rel=0.05)

    for layer in [*network.shared, *network.splitter.linears]:
        check(layer.weight, math.sqrt(layer.in_features))
    for layer in [network.head, *(attentive.linear for attentive in network.attentives)]:
        check(layer.weight, math.sqrt(4 * layer.in_features))


def test_attention_scale_opens_the_masks() -> None:
    used = [(make(attention_scale=scale).step_masks(batch())[0] > 0).float().sum(1).mean() for scale in (1.0, 0.02)]
    assert used[0] < P / 2
    assert used[1] > 0.9 * P


def test_centring_is_batch_norm_of_the_input() -> None:
    x = batch() * 5 + 2
    centred, plain = make(), make(center=False)
    assert not list(plain.input_norm.parameters())
    plain.load_state_dict({key: value for key, value in centred.state_dict().items() if "input_norm" not in key})
    scaled = (x - x.mean(0)) / (x.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(centred(x).logits, plain(scaled).logits, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(centred.input_norm.bn.running_mean, 0.01 * x.mean(0))


def test_a_cell_for_which_no_step_decides_gets_the_plain_mean_of_the_masks() -> None:
    network, x = make(), batch()
    for transformer in network.transformers:
        norm = transformer.norms[-1].bn  # a very negative first half before gating: every decision is below zero
        torch.nn.init.constant_(norm.bias[: network.n_d], -50.0)
    x.requires_grad_()
    masks = network.step_masks(x)
    output = network(x, explain=True)
    assert (output.embedding == 0).all()
    assert (network.aggregated_masks(x) == 0).all()
    torch.testing.assert_close(output.masks, torch.stack(masks).mean(0))
    assert not output.masks.requires_grad
    sum(mask.square().sum() for mask in masks).backward()
    assert x.grad.isfinite().all()


def test_penalty_grows_as_masks_open() -> None:
    narrow, even = (make(attention_scale=scale)(batch()).penalty for scale in (1.0, 1e-6))
    assert 0 <= narrow < even
    assert even.item() == pytest.approx(1e-3 * math.log(P), rel=1e-3)


def test_sparsity_can_be_ramped() -> None:
    network = make(sparsity=0.0)
    assert network(batch()).penalty == 0
    network.sparsity = 0.2
    assert network(batch()).penalty.item() == pytest.approx(200 * make()(batch()).penalty.item(), rel=1e-4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_d": 0}, "`n_d` must be at least 1"),
        ({"n_a": 0}, "`n_a` must be at least 1"),
        ({"n_steps": 0}, "`n_steps` must be at least 1"),
        ({"n_shared": -1}, "`n_shared` must be at least 0"),
        ({"n_shared": 0, "n_independent": 0}, "`n_shared` and `n_independent` are both 0"),
        ({"gamma": 0.9}, "`gamma` must be at least 1 and finite, found 0.9"),
        ({"gamma": math.nan}, "`gamma`"),
        ({"sparsity": -1.0}, "`sparsity` must be at least 0"),
        ({"selector": "softmax"}, "Unknown selector 'softmax'"),
        ({"virtual_batch_size": 0}, "`virtual_batch_size`"),
        ({"momentum": 0.0}, "`momentum`"),
        ({"attention_scale": 0.0}, "`attention_scale` must be positive"),
    ],
)
def test_bad_parameters(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**settings)


@pytest.mark.parametrize(("n_input", "n_classes"), [(0, 2), (2, 0)])
def test_bad_sizes(n_input: int, n_classes: int) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        TabNet(n_input, n_classes)


@pytest.mark.parametrize("shape", [(3, P + 1), (P,), (2, 3, P)])
def test_bad_input(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"Expected features of shape \(n_obs, 30\)"):
        make()(torch.zeros(shape))


def test_networks_know_nothing_of_the_rest_of_the_package() -> None:
    for path in Path(sims_tools.nn.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                assert not (node.module or "").startswith("sims_tools"), path
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("sims_tools") for alias in node.names), path


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_mask_holds_no_more_features_than_the_limit(selector: str) -> None:
    network, x = make(selector=selector, attention_scale=0.02, max_selected=4), batch()
    assert all((mask > 0).sum(1).max() == 4 for mask in network.step_masks(x))
    for share, most in ((0.0, P), (0.5, 11), (1.0, 4)):  # sqrt(30 * 4) is between
        network.narrow(share)
        assert all((mask > 0).sum(1).max() <= most for mask in network.step_masks(x))
        assert {attentive.limit for attentive in network.attentives} == {most}


def test_the_limit_is_stored_with_the_weights() -> None:
    network, x = make(attention_scale=0.02, max_selected=4).eval(), batch()
    network.narrow(0.3)
    other = make(seed=1, attention_scale=0.02, max_selected=4).eval()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(x).logits, network(x).logits)
    assert not any("limit" in name for name in make().state_dict())


def test_a_limit_of_all_features_changes_nothing() -> None:
    x = batch()
    torch.testing.assert_close(make(max_selected=P + 5)(x).logits, make()(x).logits)


def test_equal_scores_are_selected_together_or_not_at_all() -> None:
    network, x = make(attention_scale=0.02, max_selected=1, n_steps=1).eval(), batch()
    attentive = network.attentives[0]
    with torch.no_grad():
        attentive.linear.weight[P // 2 :] = attentive.linear.weight[: P // 2]
    mask = network.step_masks(x)[0]
    torch.testing.assert_close(mask[:, : P // 2], mask[:, P // 2 :])
    assert ((mask > 0).sum(1) == 2).all()


def test_what_is_zero_is_not_selected_where_that_is_asked_for() -> None:
    x = batch().relu()
    x[3] = 0
    network = make(center=False, attention_scale=0.02, nonzero_only=True)
    output = network(x, explain=True)
    cross_entropy(output.logits, torch.arange(len(x)) % C).backward()
    assert output.masks is not None
    assert not (output.masks[x == 0] != 0).any()
    torch.testing.assert_close(output.masks.sum(1), (x > 0).any(1).float())
    assert all(bool(torch.isfinite(each.grad).all()) for each in network.parameters() if each.grad is not None)
