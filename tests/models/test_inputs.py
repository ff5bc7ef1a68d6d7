"""From counts to what the network reads: the transform inside the model, sparse where the network takes it."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch

from sims_tools.models._inputs import CountTransform
from sims_tools.models._module import ClassifierModule
from sims_tools.nn import NetworkOutput, SparseRows


def test_counts_become_log1p_of_counts_per_ten_thousand():
    transform = CountTransform(3).eval()
    counts, totals = torch.tensor([[1.0, 0, 3], [0, 0, 0]]), torch.tensor([[8.0], [0]])
    np.testing.assert_allclose(transform(counts, totals), [[np.log1p(1250), 0, np.log1p(3750)], [0, 0, 0]], rtol=1e-6)


def test_genes_are_scaled_and_cut_off_and_constant_genes_silenced():
    transform = CountTransform(3, scale_genes=True).eval()
    transform.fit(torch.tensor([4.0, 0.0, 1e-4], dtype=torch.float64))
    found = transform(torch.tensor([[1.0, 1, 1]]), torch.tensor([[10.0]]))
    np.testing.assert_allclose(found, [[np.log1p(1000) / 2, 0, 10]], rtol=1e-6)


def test_genes_are_dropped_in_training_only():
    transform = CountTransform(1000, gene_dropout=0.3)
    counts = torch.ones(20, 1000)
    dropped = transform.train()(counts, counts.sum(1, keepdim=True)) == 0
    assert 0.27 < float(dropped.float().mean()) < 0.33
    assert not torch.equal(dropped[0], dropped[1])
    assert bool((transform.eval()(counts, counts.sum(1, keepdim=True)) > 0).all())


@pytest.mark.parametrize("scale_genes", [True, False])
def test_sparse_rows_become_what_dense_ones_do(scale_genes):
    rng = np.random.default_rng(0)
    counts = torch.from_numpy(rng.poisson(0.5, (9, 40)).astype(np.float32))
    counts[4], counts[:, 7], counts[2, 3] = 0, 0, 1e6  # an empty cell, a silent gene, a value to cut off
    totals = 1.5 * counts.sum(1, keepdim=True)
    transform = CountTransform(40, scale_genes=scale_genes).eval()
    transform.fit(torch.from_numpy(rng.uniform(0, 2, 40)) * (torch.arange(40) > 2))
    rows = SparseRows.from_dense(counts)
    before = rows.values.clone()
    found = transform(rows, totals)
    torch.testing.assert_close(found.to_dense(), transform(counts, totals))
    assert found.dtype == torch.float32
    assert found.indices is rows.indices
    assert torch.equal(rows.values, before)


def test_stored_values_are_dropped_one_by_one_and_stay_stored():
    counts = torch.ones(20, 1000) * (torch.arange(1000) % 3 == 0)
    rows, totals = SparseRows.from_dense(counts), counts.sum(1, keepdim=True)
    transform = CountTransform(1000, gene_dropout=0.3).train()
    torch.manual_seed(1)
    found = transform(rows, totals)
    dropped = found.values == 0
    assert 0.27 < float(dropped.float().mean()) < 0.33
    assert len(found.values) == len(rows.values)
    kept = transform.eval()(rows, totals).values
    assert torch.equal(found.values[~dropped], kept[~dropped])
    torch.manual_seed(1)
    assert torch.equal(transform.train()(rows, totals).values, found.values)
    assert not torch.equal(transform(rows, totals).values, found.values)


def test_the_transform_can_be_differentiated():
    rows = SparseRows.from_dense(torch.arange(1.0, 7, dtype=torch.float64).view(2, 3))
    totals = torch.tensor([[10.0], [20.0]], dtype=torch.float64)
    transform = CountTransform(3, scale_genes=True).double()
    transform.fit(torch.tensor([9.0, 4.0, 16.0]))

    def value(values: torch.Tensor) -> torch.Tensor:
        return transform.eval()(rows.with_values(values), totals).values

    assert torch.autograd.gradcheck(value, rows.values.clone().requires_grad_())


class Watching(torch.nn.Module):
    """A network that remembers what it was given."""

    def __init__(self, *, accepts_sparse: bool) -> None:
        super().__init__()
        self.accepts_sparse = accepts_sparse
        self.head = torch.nn.Linear(5, 2, bias=False)
        self.seen: list[Any] = []

    def forward(self, x: Any, *, explain: bool = False) -> NetworkOutput:
        self.seen.append(x)
        dense = x.to_dense() if isinstance(x, SparseRows) else x
        return NetworkOutput(self.head(dense), dense, x if explain else None, torch.zeros(()))


@pytest.mark.parametrize("accepts_sparse", [True, False])
def test_a_network_gets_sparse_rows_where_it_takes_them(accepts_sparse):
    counts = torch.tensor([[1.0, 0, 0, 3, 0], [0, 2, 0, 0, 0]])
    network = Watching(accepts_sparse=accepts_sparse)
    module = ClassifierModule(CountTransform(5), network, 2).eval()
    rows, totals = SparseRows.from_dense(counts), counts.sum(1, keepdim=True)
    first = module.inference(rows, totals, explain=True)
    second = module.inference(counts, totals)
    assert isinstance(network.seen[0], SparseRows) == accepts_sparse
    assert isinstance(network.seen[1], torch.Tensor)
    torch.testing.assert_close(first["logits"], second["logits"])
    assert isinstance(first["masks"], SparseRows) == accepts_sparse


def test_counts_of_any_type_are_read_in_single_precision():
    network = Watching(accepts_sparse=True)
    module = ClassifierModule(CountTransform(5), network, 2).eval()
    module.inference(SparseRows.from_dense(torch.eye(5, dtype=torch.float64)), torch.ones(5, 1, dtype=torch.float64))
    assert network.seen[0].dtype == torch.float32


def test_sparse_rows_follow_the_module_to_its_device(monkeypatch):
    """scvi-tools moves tensors and nothing else; "meta" stands for another device where there is none."""
    network = Watching(accepts_sparse=True)
    module = ClassifierModule(CountTransform(5), network, 2).eval().to("meta")
    network.forward = lambda x, explain: network.seen.append(x) or NetworkOutput(x.values, x.values, None, x.values)
    batch = {"X": SparseRows.from_dense(torch.eye(5)), "total_counts": torch.ones(5, 1)}
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which has no such device
    module.inference(**module._get_inference_input(batch))
    (x,) = network.seen
    assert {each.device.type for each in (x.indptr, x.indices, x.values)} == {"meta"}
