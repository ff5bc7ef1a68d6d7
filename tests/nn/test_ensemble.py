"""Several networks that decide together."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

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


def test_sparse_masks_are_those_of_dense_features() -> None:
    ensemble, x = Ensemble(members(nonzero_only=True)).eval(), batch()
    x[7] = 0
    dense, sparse = ensemble(x, explain=True), ensemble(SparseRows.from_dense(x), explain=True)
    assert ensemble.accepts_sparse
    assert isinstance(sparse.masks, SparseRows)
    torch.testing.assert_close(sparse.masks.to_dense(), dense.masks, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(sparse.logits, dense.logits, atol=1e-4, rtol=1e-4)
    starts, indices = sparse.masks.indptr, sparse.masks.indices
    assert starts[7] == starts[8]
    assert all((indices[a:b].diff() > 0).all() for a, b in zip(starts[:-1], starts[1:], strict=True))


def test_no_masks_unless_asked_for() -> None:
    assert Ensemble(members())(batch()).masks is None


def test_all_members_narrow() -> None:
    ensemble = Ensemble(members())
    ensemble.narrow(0.0)
    assert {attentive.limit for network in ensemble.members for attentive in network.attentives} == {P}


def test_one_network_is_no_ensemble() -> None:
    with pytest.raises(ValueError, match="two members"):
        Ensemble(members(1))
