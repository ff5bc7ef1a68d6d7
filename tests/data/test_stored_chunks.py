"""What chunks of a file mean for a stream: blocks are made of them, and none is decompressed twice for a buffer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from sims_tools.data import planted_cells
from sims_tools.data._references import name_references, read_references
from sims_tools.data._rows import StoredRows
from sims_tools.data._stream import BlockStream, fitting_sizes

N_CELLS, CHUNK = 3000, 400
"""Values of a chunk: some 10 cells."""


@pytest.fixture(scope="module")
def whole() -> ad.AnnData:
    """Do not change it."""
    return planted_cells(N_CELLS, n_genes=40, n_classes=3)


def with_chunks(path: Path, adata: ad.AnnData, values: int) -> Path:
    """Written so that a chunk holds so many values, compressed; chunks of zarr are files of their own."""
    empty = adata.copy()
    del empty.X
    (empty.write_h5ad if path.suffix == ".h5ad" else empty.write_zarr)(path)
    more = {"compression": "gzip"} if path.suffix == ".h5ad" else {"shards": None}
    root: Any = (
        h5py.File(path, "r+") if path.suffix == ".h5ad" else zarr.open_group(path, mode="r+", use_consolidated=False)
    )
    if "X" in root:
        del root["X"]
    ad.io.write_elem(root, "X", adata.X, dataset_kwargs={"chunks": (values,), **more})
    if path.suffix == ".h5ad":
        root.close()
    else:
        zarr.consolidate_metadata(root.store)
    return path


@pytest.fixture
def opened() -> Iterator[Any]:
    with ExitStack() as closing:
        yield lambda path: read_references(name_references(path), "cell_type", closing)


def totals_of(stream: BlockStream, epoch: int) -> np.ndarray:
    return np.concatenate([batch["total_counts"].numpy().ravel() for batch in stream.batches(epoch)])


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("values", [CHUNK, 40_000, 200_000])
def test_an_epoch_is_every_cell_once_whatever_the_chunks(whole, tmp_path, opened, suffix, values):
    reference = opened(with_chunks(tmp_path / f"cells.{suffix}", whole, values))
    stream = BlockStream(reference, np.arange(N_CELLS), batch_size=64, seed=0, buffer_size=700)
    found = [totals_of(stream, epoch) for epoch in (0, 0, 1)]
    np.testing.assert_array_equal(np.sort(found[0]), np.sort(whole.X.sum(1).A1))
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_no_chunk_is_read_twice_for_a_buffer(whole, tmp_path, opened, monkeypatch):
    reference = opened(with_chunks(tmp_path / "cells.zarr", whole, CHUNK))
    block = 2 * reference.rows_of_chunk
    rows = np.flatnonzero(np.arange(N_CELLS) % 5)
    stream = BlockStream(reference, rows, batch_size=64, seed=0, block_size=block, buffer_size=1200)
    n_chunks = -(-whole.X.nnz // CHUNK)
    fetched = note_chunks(monkeypatch)
    total = 0
    for fill in stream.drawn(0):
        stream._read(fill, None)
        assert max(fetched.values()) == 1
        total += sum(fetched.values())
        fetched.clear()
    assert 2 * n_chunks <= total <= 3 * n_chunks + 2  # values and columns; blocks of two chunks end in a third


def note_chunks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each chunk of X is read from now on."""
    fetched: Counter[str] = Counter()
    original = zarr.storage.LocalStore.get

    async def get(self: Any, key: str, *others: Any, **more: Any) -> Any:
        parts = key.split("/")
        if parts[:1] == ["X"] and parts[1] in ("data", "indices") and parts[-1].isdigit():
            fetched[key] += 1
        return await original(self, key, *others, **more)

    monkeypatch.setattr(zarr.storage.LocalStore, "get", get)
    return fetched


def test_the_order_depends_on_the_chunks_and_so_does_the_digest(whole, tmp_path, opened):
    streams = []
    for name, values in (("one", CHUNK), ("again", CHUNK), ("other", 3 * CHUNK)):
        reference = opened(with_chunks(tmp_path / f"{name}.h5ad", whole, values))
        streams.append(BlockStream(reference, np.arange(N_CELLS), batch_size=64, seed=0, buffer_size=1000))
    one, again, other = (totals_of(stream, 0) for stream in streams)
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
    digests = [stream.digest() for stream in streams]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("values", [100, CHUNK, 40_000])
@pytest.mark.parametrize("size", [4, 16, 100, 5000])
def test_blocks_are_some_chunks_or_parts_of_one(whole, tmp_path, opened, values, size):
    reference = opened(with_chunks(tmp_path / "cells.h5ad", whole, values))
    starts = reference.block_starts(size)
    begins = whole.X.indptr[:-1] // values
    of_chunk = np.append(0, np.flatnonzero(np.diff(begins)) + 1)
    lengths = np.diff(np.append(starts, N_CELLS))
    assert starts[0] == 0
    assert (lengths > 0).all()
    rows_of_chunk = N_CELLS / len(of_chunk)
    assert reference.rows_of_chunk == int(np.ceil(rows_of_chunk))
    if rows_of_chunk <= size:
        assert np.isin(starts, of_chunk).all()
        assert lengths.mean() > size / 2 or len(starts) == 1
    else:
        assert np.isin(of_chunk, starts).all()
        assert lengths.mean() < 1.6 * size + 1


@settings(deadline=None)
@given(n_fitting=st.integers(2048, 1 << 19), rows_of_chunk=st.integers(1, 100_000))
def test_buffers_fit_into_memory_and_hold_many_blocks(n_fitting, rows_of_chunk):
    block, buffer = fitting_sizes(n_fitting, rows_of_chunk)
    assert buffer <= n_fitting
    assert buffer // block >= min(64, n_fitting // 8)
    if n_fitting >= 64 * rows_of_chunk:
        assert block >= rows_of_chunk
    if rows_of_chunk <= 64 and n_fitting >= 32_768:
        assert (block, buffer) == (128, 32_768)


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
@pytest.mark.parametrize("dense", [False, True])
def test_scattered_rows_of_a_file_are_those_rows(whole, tmp_path, suffix, dense):
    adata = whole.copy()
    if dense:
        adata.X = adata.X.toarray()
        (adata.write_h5ad if suffix == "h5ad" else adata.write_zarr)(tmp_path / f"cells.{suffix}")
    else:
        with_chunks(tmp_path / f"cells.{suffix}", adata, CHUNK)
    root: Any = (
        h5py.File(tmp_path / f"cells.{suffix}") if suffix == "h5ad" else zarr.open_group(tmp_path / "cells.zarr")
    )
    rows = StoredRows.of_matrix(root["X"] if dense else ad.io.sparse_dataset(root["X"]))
    rng = np.random.default_rng(0)
    for share in (0.01, 0.1, 0.9):
        wanted = np.flatnonzero(rng.random(N_CELLS) < share)
        for some in (wanted, rng.permutation(wanted), np.repeat(wanted, 2), wanted[:0]):
            np.testing.assert_array_equal(rows.read(some).toarray(), whole.X[some].toarray())
        pieces = rows.portions(wanted)
        np.testing.assert_array_equal(np.concatenate(pieces), wanted)
