"""The function is that of pytorch-tabnet 4.1.0, an independent implementation by others."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import cross_entropy

pytest.importorskip("pytorch_tabnet")

_PATH = Path(__file__).with_name("tabnet_oracle.py")
_SPEC = importlib.util.spec_from_file_location("tabnet_oracle", _PATH)
oracle = sys.modules["tabnet_oracle"] = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(oracle)

QUANTITIES = {
    "logits",
    "entropy term",
    "step masks",
    "aggregated masks",
    "explanation",
    "input gradient",
    "parameter gradients",
    "running statistics",
}


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", oracle.CONFIGS)
def test_every_quantity_agrees(name: str, training: bool) -> None:
    with oracle.float64_constants():
        found = oracle.errors(oracle.compare(oracle.CONFIGS[name], training=training))
    assert set(found) == QUANTITIES
    for quantity, (absolute, relative) in found.items():
        assert absolute < 1e-9, quantity
        assert relative < 1e-9, quantity


@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_the_reference_as_shipped_agrees_to_its_float32_constants(training: bool) -> None:
    found = oracle.errors(oracle.compare(oracle.Config(), training=training))
    for quantity, (absolute, relative) in found.items():
        assert absolute < 1e-5, quantity
        assert relative < 1e-5, quantity


@pytest.mark.parametrize("name", oracle.CONFIGS)
def test_every_weight_of_the_reference_is_ours(name: str) -> None:
    config = oracle.CONFIGS[name]
    ours, reference = oracle.build_pair(config)
    covered = {
        id(dict(reference.named_parameters(remove_duplicate=False))[oracle.reference_name(key, config)])
        for key, _ in ours.named_parameters()
    }
    left = [key for key, value in reference.named_parameters() if id(value) not in covered]
    assert left == ["initial_bn.weight", "initial_bn.bias"]  # never used by the reference
    assert len(covered) == len(list(ours.parameters()))


def test_training_runs_stay_together() -> None:
    config = oracle.Config(selector="entmax15")
    ours, reference = oracle.build_pair(config)
    with oracle.float64_constants():
        optimisers = [torch.optim.SGD(network.parameters(), lr=0.02) for network in (ours, reference)]
        for seed in range(5):
            x, y = oracle.make_batch(config, seed)
            output = ours(x)
            logits, entropy = reference(x)
            losses = cross_entropy(output.logits, y) + output.penalty, cross_entropy(logits, y) - 0.05 * entropy
            for optimiser, loss in zip(optimisers, losses, strict=True):
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        x, _ = oracle.make_batch(config, 99)
        torch.testing.assert_close(ours.eval()(x).logits, reference.eval()(x)[0], atol=1e-9, rtol=1e-9)
