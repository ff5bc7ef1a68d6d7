"""Several networks that decide together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from sims_tools.nn import Ensemble, SparseRows, TabNet

P, C = 60, 4


def members(n: int = 3, **settings: Any) -> list[TabNet]:
    torch.manual_seed(0)
    settings = {"selector": "entmax15", "attention_scale": 0.02, "max_selected": 5, "sparsity": 0.1, **settings}
    return [TabNet(P, C, **settings) for _ in range(n)]


def batch(rows: int = 30) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(rows, P, generator=generator) * (torch.rand(rows, P, generator=generator) < 0.3)


def test_probabilities_and_masks_are_means_of_the_members() -> None:
    networks, x = members(), batch()
    ensemble = Ensemble(networks).eval()
    found, each = ensemble(x, explain=True), [network(x, explain=True) for network in networks]
    probabilities = torch.stack([one.logits.softmax(1) for one in each]).mean(0)
    torch.testing.assert_close(found.logits.exp(), probabilities)
    torch.testing.assert_close(found.masks, torch.stack([one.masks for one in each]).mean(0))
    torch.testing.assert_close(found.masks.sum(1), torch.ones(len(x)))
    torch.testing.assert_close(found.embedding, torch.cat([one.embedding for one in each], dim=1))
    torch.testing.assert_close(found.penalty, torch.stack([one.penalty for one in each]).mean())
    torch.testing.assert_close(found.member_logits, torch.stack([one.logits for one in each]))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("step_weights", ["size", "class"])
def test_sparse_masks_are_those_of_dense_features(step_weights: str, center: bool) -> None:
    ensemble = Ensemble(members(nonzero_only=True, center=center, step_weights=step_weights)).eval()
    x = batch()
    x[7] = 0
    dense, sparse = ensemble(x, explain=True), ensemble(SparseRows.from_dense(x), explain=True)
    assert ensemble.accepts_sparse
    assert isinstance(sparse.masks, SparseRows)
    torch.testing.assert_close(sparse.masks.to_dense(), dense.masks, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sparse.logits, dense.logits, atol=1e-4, rtol=1e-4)
    starts, indices = sparse.masks.indptr, sparse.masks.indices
    assert starts[7] == starts[8]
    assert all((indices[a:b].diff() > 0).all() for a, b in zip(starts[:-1], starts[1:], strict=True))


def test_masks_by_class_are_of_the_steps_that_speak_for_it() -> None:
    """Each step of each member counts by how far it lifts the class that the ensemble calls above the mean."""
    networks, x = members(step_weights="class"), batch()
    found = Ensemble(networks).eval()(x, explain=True)
    called, masks, lifts = found.logits.argmax(1), [], []
    for network in networks:
        heads = network.head.weight - network.head.weight.mean(0)
        for step in network.steps(x):
            masks.append(step.mask)
            lifts.append((step.decision * heads[called]).sum(1).clamp(min=0))
    weights = torch.stack(lifts) / torch.stack(lifts).sum(0)
    torch.testing.assert_close(found.masks, (weights.unsqueeze(2) * torch.stack(masks)).sum(0))


def test_other_networks_are_read_one_by_one() -> None:
    """Of another width, or no TabNet at all."""
    networks, x = [*members(2), *members(1, n_d=5)], batch()
    found, each = Ensemble(networks).eval()(x, explain=True), [network(x, explain=True) for network in networks]
    torch.testing.assert_close(found.masks, torch.stack([one.masks for one in each]).mean(0))
    torch.testing.assert_close(found.embedding, torch.cat([one.embedding for one in each], dim=1))
    torch.testing.assert_close(found.member_logits, torch.stack([one.logits for one in each]))


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_side_by_side_is_one_by_one(n_threads: int) -> None:
    """Members that kernels run at once give what each gives alone: losses, gradients, running statistics."""
    x = SparseRows.from_dense(batch())
    settings = {"nonzero_only": True, "center": False, "virtual_batch_size": 16}
    ensemble, alone = Ensemble(members(**settings)), members(**settings)
    labels, before = torch.arange(x.n_rows) % C, torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        found = ensemble(x)
        losses = torch.stack([cross_entropy(logits, labels) for logits in found.member_logits])
        (losses.mean() + found.penalty).backward()
    finally:
        torch.set_num_threads(before)
    for network, logits in zip(alone, found.member_logits, strict=True):
        output = network(x)
        torch.testing.assert_close(output.logits, logits)
        (cross_entropy(output.logits, labels) / len(alone) + output.penalty / len(alone)).backward()
    for (name, own), expected in zip(ensemble.named_parameters(), Ensemble(alone).parameters(), strict=True):
        torch.testing.assert_close(own.grad, expected.grad, msg=name)
    for (name, own), expected in zip(ensemble.named_buffers(), Ensemble(alone).buffers(), strict=True):
        torch.testing.assert_close(own, expected, msg=name)


def test_no_masks_unless_asked_for() -> None:
    assert Ensemble(members())(batch()).masks is None


def test_all_members_narrow() -> None:
    ensemble = Ensemble(members())
    ensemble.narrow(0.0)
    assert {attentive.limit for network in ensemble.members for attentive in network.attentives} == {P}


def test_one_network_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match="two members"):
        Ensemble(members(1))
