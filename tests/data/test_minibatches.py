"""Cells as minibatches of tensors: every cell once an epoch, in an order that the seed decides."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from anndata import AnnData
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse
from scvi.data import AnnDataManager
from scvi.data.fields import LayerField

from sims_tools.data._dataset import LABELS, TOTALS, CellDataset, X, cell_loader, to_batch
from sims_tools.data._kind import InputKind
from sims_tools.data._minibatch_order import MinibatchOrder
from sims_tools.data._splitter import CellSplitter

CODES = np.arange(53) % 4


def dataset_of(matrix: object, cells: np.ndarray | None = None, totals: np.ndarray | None = None) -> CellDataset:
    return CellDataset(matrix, CODES, InputKind("counts"), totals, np.arange(53) if cells is None else cells)


@pytest.fixture
def numbered(counts) -> np.ndarray:
    """Counts whose first gene numbers the cells."""
    counts[:, 0] = np.arange(1, 54)
    return counts


def an_epoch(loader) -> list[int]:
    """Cells in the order in which they come."""
    return [int(value) - 1 for batch in loader for value in batch[X].to_dense()[:, 0]]


def test_what_a_minibatch_holds(counts):
    rows = np.array([5, 50, 7, 0])
    batch = dataset_of(sparse.csr_matrix(counts), cells=rows)[[0, 1, 2, 3]]
    assert set(batch) == {"X", "labels", "total_counts"} == {X, LABELS, TOTALS}
    assert (batch[X].dtype, batch[LABELS].dtype, batch[TOTALS].dtype) == (torch.float32, torch.int64, torch.float32)
    assert (batch[X].shape, batch[LABELS].shape, batch[TOTALS].shape) == ((4, 17), (4, 1), (4, 1))
    assert (batch[X].indptr.dtype, batch[X].indices.dtype) == (torch.int64, torch.int32)
    np.testing.assert_array_equal(batch[X].to_dense(), counts[rows])
    assert len(batch[X].values) == np.count_nonzero(counts[rows])
    np.testing.assert_array_equal(batch[LABELS].ravel(), CODES[rows])
    np.testing.assert_array_equal(batch[TOTALS].ravel(), counts[rows].sum(1))


def test_any_storage_gives_the_same_minibatch(store, everyhow, counts):
    cells = np.random.default_rng(0).permutation(53)[:20]
    dataset = dataset_of(store(everyhow, counts).X, cells)
    np.testing.assert_array_equal(dataset[[3, 0, 19]][X].to_dense(), counts[cells[[3, 0, 19]]])
    blocks = list(dataset.linear_blocks(cells, size=8))
    np.testing.assert_array_equal(np.vstack([block.toarray() for block, _ in blocks]), counts[cells])


def test_totals_of_all_genes_are_taken_where_known(counts):
    totals = np.arange(53) * 10.0
    dataset = dataset_of(sparse.csr_matrix(counts), totals=totals)
    np.testing.assert_array_equal(dataset[[4, 2]][TOTALS].ravel(), [40, 20])
    np.testing.assert_array_equal(dataset.subset(np.array([9]))[[0]][TOTALS].ravel(), [90])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
@pytest.mark.parametrize("positions", [[0, 1, 2], [5, 2]])
def test_a_tensor_does_not_share_memory_with_the_matrix(counts, convert, positions):
    matrix, dense = convert(counts), counts.copy()
    batch = dataset_of(matrix)[positions][X]
    batch.values[:] = 99
    batch.indices[:] = 0
    np.testing.assert_array_equal(matrix.toarray() if sparse.issparse(matrix) else matrix, dense)


def scrambled(counts: np.ndarray, dtype: type = np.float32) -> sparse.csr_matrix:
    """The counts with the columns of each row in any order and every value stored in two parts."""
    rng = np.random.default_rng(3)
    parts = [rng.permutation(np.repeat(np.flatnonzero(row), 2)) for row in counts]
    values = [row[part] / 2 for row, part in zip(counts, parts, strict=True)]
    ends = np.cumsum([0, *map(len, parts)])
    return sparse.csr_matrix((np.concatenate(values).astype(dtype), np.concatenate(parts), ends), shape=counts.shape)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_columns_rise_and_are_not_repeated_however_the_matrix_is_stored(counts, dtype):
    matrix = scrambled(2 * counts, dtype)
    before = [each.copy() for each in (matrix.data, matrix.indices, matrix.indptr)]
    remembered = dict(vars(matrix))
    dataset = dataset_of(matrix)
    for cells in ([4, 0, 52], [1, 2, 3]):
        batch = dataset[cells][X]
        np.testing.assert_array_equal(batch.to_dense(), 2 * counts[cells])
        assert len(batch.values) == np.count_nonzero(counts[cells])
        places = batch.row_ids() * 17 + batch.indices
        assert bool((places.diff() > 0).all())
    for old, new in zip(before, (matrix.data, matrix.indices, matrix.indptr), strict=True):
        np.testing.assert_array_equal(old, new)
    assert set(vars(matrix)) == set(remembered)  # nor has scipy noted down anything about it


def test_sums_are_not_too_large_for_small_integers():
    matrix = sparse.csr_matrix(([100, 100], [0, 0], [0, 2]), shape=(1, 2), dtype=np.int8)
    assert dataset_of(matrix)[[0]][X].values.tolist() == [200]


def test_a_matrix_in_order_is_shared(counts):
    matrix = sparse.csr_matrix(counts)
    dataset = dataset_of(matrix)
    assert np.shares_memory(dataset.matrix.data, matrix.data)
    assert np.shares_memory(dataset.subset(np.arange(3)).matrix.indices, matrix.indices)


def test_known_totals_are_not_summed_again(counts, monkeypatch):
    import sims_tools.data._kind as kind

    dataset = dataset_of(sparse.csr_matrix(counts), totals=counts.sum(1))
    monkeypatch.delattr(kind, "row_sums")
    np.testing.assert_array_equal(dataset[[3, 1]][TOTALS].ravel(), counts[[3, 1]].sum(1))
    with pytest.raises(NameError):
        dataset_of(sparse.csr_matrix(counts))[[0]]


@pytest.mark.parametrize("bad", [np.nan, -1.0])
def test_a_bad_value_is_found_in_its_minibatch(counts, bad):
    counts[30, 2] = bad
    dataset = dataset_of(sparse.csr_matrix(counts))
    dataset[[0, 1]]
    with pytest.raises(ValueError, match="Raw counts are expected"):
        dataset[[29, 30]]


def test_to_batch():
    batch = to_batch(sparse.csr_matrix(np.eye(3, dtype=np.float32)), np.array([1, 2, 3]))
    np.testing.assert_array_equal(batch[X].to_dense(), np.eye(3))
    assert batch[TOTALS].tolist() == [[1.0], [2.0], [3.0]]


def test_to_batch_sorts_a_block_and_leaves_it(counts):
    block = scrambled(counts)
    order = block.indices.copy()
    batch = to_batch(block, counts.sum(1))[X]
    np.testing.assert_array_equal(batch.to_dense(), counts)
    assert bool(((batch.row_ids() * 17 + batch.indices).diff() > 0).all())
    np.testing.assert_array_equal(block.indices, order)


def test_to_batch_of_read_only_memory(counts):
    block = sparse.csr_matrix(counts)
    for array in (block.data, block.indices, block.indptr):
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(to_batch(block, counts.sum(1))[X].to_dense(), counts)


def test_indices_of_64_bits_become_those_of_32(counts):
    matrix = sparse.csr_matrix(counts)
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    batch = dataset_of(matrix)[[2, 0]][X]
    assert batch.indices.dtype == torch.int32
    np.testing.assert_array_equal(batch.to_dense(), counts[[2, 0]])


@pytest.mark.parametrize("batch_size", [1, 10, 53, 100])
@pytest.mark.parametrize("shuffle", [True, False])
def test_each_cell_comes_once_an_epoch(numbered, batch_size, shuffle):
    loader = cell_loader(dataset_of(sparse.csr_matrix(numbered)), batch_size, shuffle=shuffle)
    sizes = [batch[X].n_rows for batch in loader]
    assert len(loader) == len(sizes) == -(-53 // batch_size)
    assert sizes[:-1] == [batch_size] * (len(sizes) - 1)
    assert sum(sizes) == 53  # the last, smaller one is kept
    order = an_epoch(loader)
    assert sorted(order) == list(range(53))
    assert (order == sorted(order)) != shuffle


def test_only_the_cells_of_the_set_come(numbered):
    cells = np.array([3, 40, 8, 11, 25])
    dataset = dataset_of(sparse.csr_matrix(numbered)).subset(cells)
    assert len(dataset) == 5
    assert an_epoch(cell_loader(dataset, 2, shuffle=False)) == list(cells)
    assert sorted(an_epoch(cell_loader(dataset, 2, shuffle=True))) == sorted(cells)


def test_every_epoch_has_an_order_of_its_own_and_the_seed_decides_it(numbered):
    dataset = dataset_of(sparse.csr_matrix(numbered))
    first, again, other = (cell_loader(dataset, 10, shuffle=True, seed=seed) for seed in (3, 3, 4))
    orders = [an_epoch(first) for _ in range(3)]
    assert len({tuple(order) for order in orders}) == 3
    assert [an_epoch(again) for _ in range(3)] == orders
    assert an_epoch(other) != orders[0]


def test_the_order_does_not_hang_on_the_global_seed(numbered):
    dataset = dataset_of(sparse.csr_matrix(numbered))
    orders = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        orders.append(an_epoch(cell_loader(dataset, 10, shuffle=True)))
    assert orders[0] == orders[1]


@pytest.mark.parametrize("shuffle", [True, False])
def test_loading_leaves_the_global_random_state_alone(numbered, shuffle):
    before = torch.random.get_rng_state()
    an_epoch(cell_loader(dataset_of(sparse.csr_matrix(numbered)), 10, shuffle=shuffle))
    assert torch.equal(before, torch.random.get_rng_state())


def test_an_epoch_is_the_same_whatever_came_before_it(numbered):
    dataset = dataset_of(sparse.csr_matrix(numbered))
    counting, jumping = (cell_loader(dataset, 10, shuffle=True, seed=3) for _ in range(2))
    orders = [an_epoch(counting) for _ in range(3)]
    jumping.sampler.set_epoch(2)
    assert an_epoch(jumping) == orders[2]
    jumping.sampler.set_epoch(0)
    assert an_epoch(jumping) == orders[0]


@given(
    n_cells=st.integers(1, 60),
    batch_size=st.integers(1, 20),
    n_processes=st.integers(1, 5),
    epoch=st.integers(0, 3),
    shuffle=st.booleans(),
)
def test_processes_share_each_minibatch(n_cells, batch_size, n_processes, epoch, shuffle):
    """Together they see every cell once, in as many steps as one process with the same minibatches."""

    def batches(rank: int, n_processes: int) -> list[np.ndarray]:
        order = MinibatchOrder(n_cells, batch_size, shuffle=shuffle, seed=5, rank=rank, n_processes=n_processes)
        order.set_epoch(epoch)
        found = list(order)
        assert len(found) == len(order)
        return found

    alone = batches(0, 1)
    shares = [batches(rank, n_processes) for rank in range(n_processes)]
    assert {len(each) for each in shares} == {len(shares[0])}
    together = [np.concatenate(parts) for parts in zip(*shares, strict=True)]
    assert len(alone) - len(together) in (0, 1)  # the last, where it has fewer cells than there are processes
    if n_cells < n_processes or batch_size < n_processes:
        return
    np.testing.assert_array_equal(np.concatenate(together), np.concatenate(alone))
    assert sorted(np.concatenate(together)) == list(range(n_cells))
    for step in zip(*shares, strict=True):
        sizes = [len(part) for part in step]
        assert max(sizes) - min(sizes) <= 1 <= min(sizes)


def test_fewer_cells_than_processes_are_seen_by_all():
    shares = [list(MinibatchOrder(2, 8, shuffle=False, rank=rank, n_processes=3)) for rank in range(3)]
    assert [[part.tolist() for part in each] for each in shares] == [[[0, 1]]] * 3


def splitter_of(dataset: CellDataset, train: np.ndarray, validation: np.ndarray) -> CellSplitter:
    manager = AnnDataManager(fields=[LayerField(X, None)])
    manager.register_fields(AnnData(np.ones((53, 1), np.float32)))
    return CellSplitter(manager, train=train, validation=validation, dataset=dataset, batch_size=8, seed=0)


def test_the_splitter_shuffles_training_and_keeps_validation_in_order(numbered):
    train, validation = np.arange(40), np.arange(40, 53)
    splitter = splitter_of(dataset_of(sparse.csr_matrix(numbered)), train, validation)
    splitter.setup()
    loader = splitter.train_dataloader()
    epochs = [an_epoch(loader), an_epoch(loader)]
    assert epochs[0] != epochs[1]
    assert all(sorted(epoch) == list(train) for epoch in epochs)
    assert an_epoch(splitter.val_dataloader()) == list(validation)
    assert (splitter.n_train, splitter.n_val) == (40, 13)


def test_without_validation_cells_there_is_no_validation_loader(numbered):
    splitter = splitter_of(dataset_of(sparse.csr_matrix(numbered)), np.arange(53), np.array([], dtype=int))
    assert splitter.val_dataloader() is None
