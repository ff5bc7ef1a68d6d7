"""Streams of stored cells: each cell once, the same order for a seed, equal shares, nothing but a buffer in memory."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sims_tools.data import planted_cells
from sims_tools.data._block_order import Share
from sims_tools.data._joined import JoinedReference
from sims_tools.data._references import name_references, read_references
from sims_tools.data._sampling import balanced_draws
from sims_tools.data._stream import BlockStream

N_CELLS = 700


@pytest.fixture(scope="module")
def whole() -> ad.AnnData:
    """Cells sorted by class, a few of them without a label; do not change it."""
    adata = planted_cells(N_CELLS, n_genes=30, n_classes=4, weights=np.array([0.5, 0.4, 0.08, 0.02]))
    adata = adata[np.argsort(adata.obs["cell_type"].cat.codes, kind="stable")].copy()
    adata.obs.loc[adata.obs_names[::50], "cell_type"] = np.nan
    return adata


@pytest.fixture(scope="module")
def folder(whole: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same cells in two files, the second without a fifth of the genes."""
    path = tmp_path_factory.mktemp("stream")
    whole[:400].copy().write_h5ad(path / "one.h5ad")
    whole[400:, np.arange(30) % 5 != 0].copy().write_zarr(path / "two.zarr")
    return path


@pytest.fixture
def opened() -> Any:
    with ExitStack() as closing:
        yield lambda given, **options: read_references(name_references(given), "cell_type", closing, **options)


@pytest.fixture
def both(folder: Path, opened: Any) -> JoinedReference:
    return opened([folder / "one.h5ad", folder / "two.zarr"])


def stream(reference: JoinedReference, **options: Any) -> BlockStream:
    options = {"batch_size": 32, "seed": 0, "block_size": 16, "buffer_size": 100} | options
    return BlockStream(reference, reference.labels.labelled, **options)


def values(batches: Any) -> list[np.ndarray]:
    """Expression, totals and labels of minibatches, dense."""
    return [
        np.column_stack([each["X"].to_dense().numpy(), each["total_counts"].numpy(), each["labels"].numpy()])
        for each in batches
    ]


def in_order(rows: np.ndarray) -> np.ndarray:
    return rows[np.lexsort(rows.T)]


def test_an_epoch_is_every_labelled_cell_once_with_its_counts_total_and_label(whole, both):
    batches = values(stream(both))
    assert [len(each) for each in batches] == [32] * (len(batches) - 1) + [len(both.labels.labelled) % 32]
    cells = whole[both.labels.labelled]
    genes = whole.var_names.get_indexer(both.var_names)
    classes = {name: code for code, name in enumerate(both.labels.classes)}
    totals = np.asarray(cells.X.sum(1)).ravel()
    totals[both.labels.labelled >= 400] = cells.X[both.labels.labelled >= 400][:, genes].sum(1).A1
    expected = np.column_stack([cells.X[:, genes].toarray(), totals, cells.obs["cell_type"].map(classes)])
    np.testing.assert_array_equal(in_order(np.concatenate(batches)), in_order(expected))


def test_the_order_is_a_function_of_seed_and_epoch(both):
    first = values(stream(both).batches(3))
    other = stream(both)
    other.set_epoch(3)
    for one, again in zip(first, values(other), strict=True):
        np.testing.assert_array_equal(one, again)
    for different in (stream(both).batches(4), stream(both, seed=1).batches(3)):
        assert any((one != again).any() for one, again in zip(first, values(different), strict=True))


def test_cells_that_lie_together_are_drawn_apart(both):
    """Of a file sorted by class, every minibatch holds several classes."""
    batches = values(stream(both, batch_size=50, buffer_size=300))
    assert min(len(np.unique(each[:, -1])) for each in batches[:-1]) > 1


@settings(deadline=None, max_examples=30)
@given(n_blocks=st.integers(64, 256), n_buffers=st.integers(2, 12), data=st.data())
def test_buffers_of_a_sorted_file_hold_each_class_in_proportion(n_blocks, n_buffers, data):
    """To two blocks each, of 64 or more; the classes are cut where chance will."""
    size, seed = 8, data.draw(st.integers(0, 1000))
    n = n_blocks * n_buffers * size
    cuts = np.sort(np.random.default_rng(seed).integers(0, n, 9))
    codes = np.searchsorted(cuts, np.arange(n), side="right")
    stream = BlockStream(_Blocks(np.arange(n), size, n), np.arange(n), batch_size=32, seed=seed, block_size=size,
                         buffer_size=n_blocks * size)  # fmt: skip
    expected = np.bincount(codes, minlength=10) / n_buffers
    for visits in stream.drawn(1):
        found = np.bincount(codes[np.concatenate(visits)], minlength=10)
        assert (np.abs(found - expected) <= 2 * size).all()


def test_a_small_class_that_lies_together_is_spread_over_the_epoch():
    """60 of 6,400 cells, in a file sorted by class, a sixteenth in memory: its two blocks would be in two buffers."""
    n, size = 6400, 32
    codes = (np.arange(n) >= n // 2).astype(int) + (np.arange(n) >= n - 60)
    reference = _Blocks(np.arange(n), size, n)
    reference.labels.codes = codes
    stream = BlockStream(reference, np.arange(n), batch_size=32, seed=0, block_size=size, buffer_size=400)
    for epoch in (0, 1):
        found = [np.concatenate(visits) for visits in stream.drawn(epoch)]
        np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(n))
        assert min((codes[cells] == 2).sum() for cells in found[:-1]) >= 2


@settings(deadline=None, max_examples=60)
@given(
    n=st.integers(1, 300),
    block=st.integers(1, 64),
    buffer=st.integers(1, 200),
    batch=st.integers(1, 50),
    world=st.integers(1, 5),
    data=st.data(),
)
def test_each_cell_once_whatever_the_sizes(n, block, buffer, batch, world, data):
    """All processes draw equally many, and no more than one each is drawn again, and one of those held in memory."""
    seed = data.draw(st.integers(0, 1000))
    rows = np.flatnonzero(np.random.default_rng(seed).random(400) < n / 400)
    if not len(rows):
        return
    one = _Blocks(rows, block)
    shares = []
    for rank in range(world):
        part = BlockStream(
            one, rows, batch_size=batch, seed=seed, share=Share(rank, world), block_size=block, buffer_size=buffer
        )
        drawn = [np.concatenate(each) for each in part.drawn(2)]
        assert all(len(each) <= buffer + block for each in drawn)
        shares.append(np.concatenate(drawn))
        assert len(part) == -(-len(shares[-1]) // -(-batch // world))
    assert len({len(each) for each in shares}) == 1
    counts = np.bincount(np.concatenate(shares), minlength=len(rows))
    assert counts.min() >= 1
    assert counts.sum() - len(rows) < 2 * world


class _Blocks:
    """What the order of blocks is made of."""

    n_values, rows_of_chunk = 10, 1

    def __init__(self, rows: np.ndarray, block: int, n: int = 400) -> None:
        self.totals = np.ones(n)
        self.labels = type("Labels", (), {"codes": np.arange(n) % 3})
        self.block_starts = lambda size: np.arange(0, n, size)


@settings(deadline=None, max_examples=50)
@given(sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6), seed=st.integers(0, 100))
def test_balanced_draws_are_equal_for_all_classes(sizes, seed):
    codes = np.repeat(np.arange(len(sizes)), sizes)
    if not len(codes):
        return
    codes = np.random.default_rng(seed).permutation(codes)
    draws = balanced_draws(codes, np.random.default_rng(seed))
    assert draws.sum() == len(codes)
    shares = np.bincount(codes, weights=draws)[np.bincount(codes) > 0]
    assert shares.max() - shares.min() <= 1
    for code in np.unique(codes):
        assert np.ptp(draws[codes == code]) <= 1


@pytest.mark.parametrize("held", [0, 16_384])
@pytest.mark.parametrize("world", [1, 2])
def test_balanced_streams_show_all_classes_equally_often(both, monkeypatch, held, world):
    monkeypatch.setattr("sims_tools.data._stream._HELD", held)
    parts = [stream(both, sampling="balanced", share=Share(rank, world)) for rank in range(world)]
    assert len({len(each) for each in parts}) == 1
    batches = [values(each) for each in parts]
    assert [len(each) for each in batches] == [len(each) for each in parts]
    shown = np.bincount(np.concatenate([each[:, -1] for each in sum(batches, [])]).astype(int))
    assert shown.max() - shown.min() <= 1 + 2 * world
    assert shown.sum() >= len(both.labels.labelled)
    if held:  # cells of the rarest class are spread over the epoch, though they lie together
        rare = np.argmin(both.labels.counts)
        assert sum((each[:, -1] == rare).any() for each in batches[0]) > 0.8 * len(batches[0])


def test_panels_of_the_references_are_those_of_the_cells_in_the_buffer(folder, opened):
    outer = opened([folder / "one.h5ad", folder / "two.zarr"], join="outer")
    panels = outer.panels(outer.var_names)
    assert panels is not None
    lacking = ~panels.measured[1]
    batches = np.concatenate(values(stream(outer, panels=panels, buffer_size=800)))
    silent = (batches[:, :-2][:, lacking] == 0).all(1)
    of_both = panels.n_cells(outer.labels.labelled)
    assert 0.25 < silent.mean() < 0.6, of_both  # in proportion to the cells of the second, whatever the cell's own


def test_no_more_than_buffers_are_in_memory(tmp_path, opened, monkeypatch):
    rng = np.random.default_rng(0)
    counts = sparse.random(12_000, 500, 0.1, format="csr", random_state=0, dtype=np.float32)
    counts.data[:] = rng.integers(1, 5, counts.nnz)
    large = ad.AnnData(counts)
    large.obs["cell_type"] = [f"type {i % 3}" for i in range(12_000)]
    large.write_h5ad(tmp_path / "large.h5ad")
    reference = opened(tmp_path / "large.h5ad")
    small = stream(reference, block_size=64, buffer_size=512)
    import tracemalloc

    tracemalloc.start()
    n_cells = sum(len(each["labels"]) for each in small)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_cells == 12_000
    whole_matrix = 8 * counts.nnz
    assert peak < 0.6 * whole_matrix


def test_a_file_that_is_written_to_meanwhile_is_an_error(folder, opened, tmp_path):
    path = tmp_path / "one.h5ad"
    path.write_bytes((folder / "one.h5ad").read_bytes())
    reference = opened(path)
    changed = path.read_bytes()
    path.unlink()
    path.write_bytes(changed)
    with pytest.raises(RuntimeError, match=r"one\.h5ad` was changed while it was read"):
        next(iter(stream(reference)))


@pytest.mark.parametrize(("value", "message"), [(np.nan, "NaN or infinite"), (-1.0, "negative")])
def test_bad_values_in_a_late_block_are_named(tmp_path, opened, value, message, monkeypatch):
    monkeypatch.setattr("sims_tools.data._store._READ", 64)
    adata = planted_cells(4000, n_genes=20, n_classes=3)
    adata.X[1003, 4] = value  # not one of the rows from which is told what values are
    adata.write_h5ad(tmp_path / "bad.h5ad")
    with pytest.raises(ValueError, match=rf"Reference 'bad'.*{message}.*row 1003"):
        opened(tmp_path / "bad.h5ad")


def test_names_of_cells_and_other_columns_stay_in_the_file(folder, opened, monkeypatch):
    read = []
    original = ad.io.read_elem
    monkeypatch.setattr(ad.io, "read_elem", lambda elem: read.append(elem.name) or original(elem))
    reference = opened(folder / "one.h5ad")
    list(stream(reference))
    assert read == ["/var", "/obs/cell_type"]
    assert reference.obs_names[0].startswith("cell_")
