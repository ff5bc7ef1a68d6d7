"""Loaders of somebody else on several processes, and sets of cells compared by a few hashes."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset, WeightedRandomSampler

from sims_tools.data._block_order import Share
from sims_tools.data._cell_sketch import SKETCHED, CellSketch, alike
from sims_tools.data._shared_loader import alone, shared_loader


def passes(loader: DataLoader, n: int = 2) -> list[list[list[int]]]:
    return [[batch.tolist() for batch in loader] for _ in range(n)]


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), size=st.integers(1, 20), world=st.integers(2, 4), shuffle=st.booleans())
def test_processes_share_each_minibatch(n, size, world, shuffle):
    loader = DataLoader(torch.arange(n), batch_size=size, shuffle=shuffle)
    of_all = [passes(shared_loader(loader, Share(rank, world), seed=0)) for rank in range(world)]
    for epoch in zip(*of_all, strict=True):
        cells: list[int] = []
        for parts in zip(*epoch, strict=True):  # as many on each
            if len({tuple(part) for part in parts}) == 1 and world > len(parts[0]):
                parts = parts[:1]  # fewer cells than processes are everybody's
            assert max(map(len, parts)) - min(map(len, parts)) <= 1
            cells += sum(parts, [])
        assert sorted(cells) == list(range(n))


def test_the_order_is_that_of_seed_and_epoch_and_leaves_no_seed_behind():
    loader = DataLoader(torch.arange(40), batch_size=8, shuffle=True)
    first, again, other = (shared_loader(loader, Share(0, 2), seed) for seed in (0, 0, 1))
    one, two = passes(first)
    assert one != two
    again.batch_sampler.set_epoch(1)
    assert passes(again, 1) == [two]
    assert passes(other, 1) != [one]
    weighted = DataLoader(torch.arange(40), batch_size=8, sampler=WeightedRandomSampler(torch.ones(40), 16))
    assert [len(each) for each in passes(shared_loader(weighted, Share(1, 2), 0), 1)[0]] == [4, 4]
    before = torch.get_rng_state()
    list(again.batch_sampler)
    assert torch.equal(torch.get_rng_state(), before)


class Numbers(IterableDataset):
    def __iter__(self):
        return iter(range(8))


def test_what_shares_itself_or_cannot_be_shared_stays_as_it_is():
    class Own(DataLoader):
        pass

    data = torch.arange(8)
    sampler = DistributedSampler(data, num_replicas=2, rank=0)
    for loader in (DataLoader(Numbers()), Own(data), DataLoader(data, sampler=sampler), [data]):
        assert shared_loader(loader, Share(0, 2), 0) is loader
    plain = DataLoader(data)
    assert shared_loader(plain, Share(), 0) is plain


def test_options_of_a_loader_stay():
    loader = DataLoader(torch.arange(8), batch_size=4, collate_fn=sum, timeout=0, drop_last=True)
    found = shared_loader(loader, Share(1, 2), 0)
    assert [int(each) for each in found] == [1 + 3, 5 + 7]


def test_alone_is_told_by_the_environment_for_a_while(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with alone(0):
        assert (os.environ["RANK"], os.environ["WORLD_SIZE"], os.environ["LOCAL_RANK"]) == ("0", "1", "0")
    assert os.environ["RANK"] == "3"
    assert "LOCAL_RANK" not in os.environ


def sketch(counts: np.ndarray, size: int) -> np.ndarray:
    found = CellSketch()
    for start in range(0, len(counts), size):
        block = counts[start : start + size]
        found.add(sparse.csr_matrix(block), block.sum(1).astype(float))
    return found.take()


@settings(max_examples=10, deadline=None)
@given(common=st.integers(0, 6000), seed=st.integers(0, 99))
def test_sketches_tell_what_two_sets_have_in_common(common, seed):
    """Whatever the order and the size of minibatches."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(2.0, (12_000 - common, 20)).astype(np.float32)
    counts = np.unique(counts, axis=0)
    one, other = counts[:6000], counts[6000 - common :]
    found = alike(sketch(one, 500), sketch(rng.permutation(other), 777))
    assert found == pytest.approx(common / len(counts), abs=0.04)
    assert len(sketch(one, 500)) == SKETCHED
    assert alike(np.empty(0, np.uint64), np.empty(0, np.uint64)) == 0
