"""Cells that stay on a device: the same minibatches as from the host, and the memory given back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from anndata import AnnData
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField

from sims_tools.data import _splitter
from sims_tools.data._dataset import LABELS, TOTALS, CellDataset, X, cell_loader
from sims_tools.data._kind import InputKind
from sims_tools.data._resident import ResidentCells, can_reside, gather_rows
from sims_tools.data._splitter import CellSplitter
from sims_tools.nn import SparseRows

CPU = torch.device("cpu")
CODES = np.arange(53) % 4


def dataset_of(matrix: object, **options: object) -> CellDataset:
    arguments = {"kind": InputKind("counts"), "totals": np.arange(53) * 2.5, "cells": np.arange(53)} | options
    return CellDataset(matrix, CODES, **arguments)


def assert_same_batch(found: dict, expected: dict) -> None:
    assert set(found) == set(expected) == {X, TOTALS, LABELS}
    for name in (TOTALS, LABELS):
        assert torch.equal(found[name], expected[name])
        assert found[name].dtype == expected[name].dtype
    assert found[X].shape == expected[X].shape
    for name in ("indptr", "indices", "values"):
        assert torch.equal(getattr(found[X], name), getattr(expected[X], name))
        assert getattr(found[X], name).dtype == getattr(expected[X], name).dtype


@settings(derandomize=True, max_examples=50)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n - 1), max_size=20), st.integers(0, 99))
    )
)
def test_any_rows_in_any_order_are_gathered(drawn):
    n, rows, seed = drawn
    matrix = sparse.random(n, 7, 0.4, format="csr", dtype=np.float32, random_state=seed)
    matrix.sort_indices()
    stored = SparseRows.from_dense(torch.from_numpy(matrix.toarray()))
    rows = np.array(rows, dtype=np.int64)
    found, places = gather_rows(stored, stored.indptr.numpy(), rows)
    np.testing.assert_array_equal(found.to_dense(), matrix.toarray()[rows])
    assert places.tolist() == rows.tolist()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8])
def test_minibatches_are_those_from_the_host(counts, dtype):
    dataset = dataset_of(sparse.csr_matrix(counts.astype(dtype)), cells=np.random.default_rng(0).permutation(53))
    resident = ResidentCells(dataset, CPU)
    assert len(resident) == 53
    for positions in ([7, 0, 52, 7], [3], list(range(53))):
        assert_same_batch(resident[positions], dataset[positions])
    few = np.array([50, 7, 1])
    assert_same_batch(resident.subset(few)[[2, 1]], dataset.subset(few)[[2, 1]])
    assert len(resident) == 53


@pytest.mark.parametrize("shuffle", [True, False])
def test_epochs_are_those_from_the_host(counts, shuffle):
    dataset = dataset_of(sparse.csr_matrix(counts))
    sources = dataset, ResidentCells(dataset, CPU)
    loaders = [cell_loader(each, 10, shuffle=shuffle, seed=4) for each in sources]
    for _ in range(2):
        for expected, found in zip(*loaders, strict=True):
            assert_same_batch(found, expected)


def test_gathering_leaves_what_is_stored(counts):
    matrix = sparse.csr_matrix(counts)
    batch = ResidentCells(dataset_of(matrix), CPU)[[0, 1, 2]]
    batch[X].values[:], batch[X].indices[:], batch[TOTALS][:] = 99, 0, 0
    np.testing.assert_array_equal(matrix.toarray(), counts)


@pytest.mark.parametrize("bad", [np.nan, -1.0, np.inf])
def test_bad_values_are_refused(counts, bad):
    counts[30, 2] = bad
    with pytest.raises(ValueError, match="Raw counts are expected"):
        ResidentCells(dataset_of(sparse.csr_matrix(counts)), CPU)


def test_what_cannot_reside_is_refused(counts):
    for dataset in (dataset_of(counts), dataset_of(sparse.csr_matrix(counts), totals=None)):
        with pytest.raises(ValueError, match="known totals"):
            ResidentCells(dataset, CPU)


def test_memory_is_given_back_whoever_holds_the_cells(counts):
    resident = ResidentCells(dataset_of(sparse.csr_matrix(counts)), CPU)
    part = resident.subset(np.arange(3))
    resident.release()
    with pytest.raises(KeyError):
        part[[0]]


class Memory:
    """Stands for the free memory of a GPU."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, free: int) -> None:
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 10**12))


def test_cells_stay_where_they_fit(counts, monkeypatch):
    dataset, gpu = dataset_of(sparse.csr_matrix(counts)), torch.device("cuda", 0)
    needed = 8 * np.count_nonzero(counts) + 16 * 53
    Memory(monkeypatch, 4 * needed)
    assert can_reside(dataset, gpu)
    assert not can_reside(dataset, CPU)
    assert not can_reside(dataset, torch.device("mps"))
    assert not can_reside(dataset_of(counts), gpu)  # an array
    assert not can_reside(dataset_of(dataset.matrix, totals=None), gpu)
    assert not can_reside(dataset_of(dataset.matrix, kind=InputKind("log1p")), gpu)
    Memory(monkeypatch, 4 * needed - 1)
    assert not can_reside(dataset, gpu)


@pytest.mark.parametrize("resides", [True, False])
def test_the_splitter_loads_from_the_device_where_the_cells_stay(counts, monkeypatch, resides):
    manager = AnnDataManager(fields=[LayerField(X, None)])
    manager.register_fields(AnnData(np.ones((53, 1), np.float32)))
    monkeypatch.setattr(_splitter, "can_reside", lambda *_: resides)
    dataset = dataset_of(sparse.csr_matrix(counts))
    train, validation = np.arange(40), np.arange(40, 53)
    splitter = CellSplitter(manager, train=train, validation=validation, dataset=dataset, batch_size=8, seed=0)
    splitter.setup()
    loaders = splitter.train_dataloader(), splitter.val_dataloader()
    assert [isinstance(each.dataset, ResidentCells) for each in loaders] == [resides] * 2
    expected = cell_loader(dataset.subset(train), 8, shuffle=True, seed=0)
    for found, wanted in zip(loaders[0], expected, strict=True):
        assert_same_batch(found, wanted)
    splitter.close()
    if resides:
        with pytest.raises(KeyError):
            next(iter(loaders[0]))
    assert isinstance(splitter.train_dataloader().dataset, CellDataset)
