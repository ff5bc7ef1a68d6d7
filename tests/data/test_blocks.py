"""Rows come out the same however they are stored, and nothing else is read or touched."""

from __future__ import annotations

import tracemalloc
from importlib.metadata import version

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from sims_tools.data._blocks import iter_blocks, sample_rows
from sims_tools.data._rows import StoredRows

PERMUTED = np.random.default_rng(1).permutation(53)
VIEWS = {
    "run": (slice(5, 40), slice(None)),
    "backwards": (slice(50, 3, -3), slice(None)),
    "mask": (np.random.default_rng(2).random(53) < 0.4, slice(None)),
    "reordered": (PERMUTED, slice(None)),
    "few and far": (np.array([52, 0]), slice(None)),
    "from the end": (np.array([-1, -2, -53]), slice(None)),
    "genes": (slice(None), np.array([16, 2, 9])),
    "both": (PERMUTED[:30], np.random.default_rng(3).permutation(17)),
    "one cell": (slice(11, 12), slice(None)),
}


def joined(adata: ad.AnnData, layer: str | None = None, size: int = 7) -> np.ndarray:
    """All blocks under each other, each checked for what is promised of it."""
    parts, expected_start = [], 0
    for start, block in iter_blocks(adata, layer, size):
        assert isinstance(block, sparse.csr_matrix)
        assert block.dtype == np.float32
        assert start == expected_start
        assert 0 < block.shape[0] <= size
        expected_start += block.shape[0]
        parts.append(block.toarray())
    return np.vstack(parts)


def test_blocks_are_the_rows_in_order(store, everyhow, counts, unchanged):
    adata = store(everyhow, counts)
    with unchanged(adata):
        for size in (1, 7, 53, 1000):
            np.testing.assert_array_equal(joined(adata, size=size), counts)


def test_views_are_read_without_becoming_copies(store, everyhow, counts, unchanged):
    parent = store(everyhow, counts)
    for name, (rows, columns) in VIEWS.items():
        shown = parent[rows, columns]
        np.testing.assert_array_equal(joined(shown), counts[rows][:, columns], err_msg=name)
        assert shown.is_view
        if not (parent.isbacked or everyhow.startswith("zarr")):  # anndata itself cannot show all of these
            with unchanged(shown), unchanged(parent):
                joined(shown)


def test_view_of_a_view(store, everyhow, counts):
    parent = store(everyhow, counts)
    if parent.isbacked and version("anndata") < "0.13":
        with pytest.raises(ValueError, match="view of a view"):  # anndata makes none
            parent[PERMUTED][5:40]
        return
    shown = parent[PERMUTED][5:40][:, [4, 2]][::2]
    assert shown.is_view
    np.testing.assert_array_equal(joined(shown), counts[PERMUTED][5:40][:, [4, 2]][::2])
    assert shown.is_view


def test_repeated_rows_of_a_view(store, everyhow, counts):
    rows = np.array([3, 3, 50, 1, 3])
    np.testing.assert_array_equal(joined(store(everyhow, counts)[rows]), counts[rows])


def test_layers_are_read_in_place_of_x(store, everyhow, counts, name_cells, unchanged):
    adata = store(everyhow, counts * 2)
    for how, convert in {"dense": np.asarray, "csr": sparse.csr_matrix, "csc": sparse.csc_array}.items():
        adata.layers[how] = convert(counts)
    for layer in ("dense", "csr", "csc"):
        with unchanged(adata):
            np.testing.assert_array_equal(joined(adata, layer), counts)
        np.testing.assert_array_equal(joined(adata[PERMUTED, 3:9], layer), counts[PERMUTED, 3:9])


def test_backed_layer(counts, name_cells, tmp_path):
    adata = name_cells(sparse.csr_matrix(counts * 2))
    adata.layers["raw counts"] = sparse.csr_matrix(counts)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    np.testing.assert_array_equal(joined(backed, "raw counts"), counts)
    np.testing.assert_array_equal(joined(backed[4:20], "raw counts"), counts[4:20])


@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix, sparse.csc_array])
@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int32", "int64", "uint64", "float32", "float64"])
def test_any_numeric_type_comes_out_as_float32(counts, name_cells, unchanged, convert, dtype):
    values = counts.astype(dtype)
    adata = name_cells(convert(values))
    with unchanged(adata):
        np.testing.assert_array_equal(joined(adata), values.astype(np.float32))


@pytest.mark.parametrize("dtype", ["float16", ">f4", ">f8", ">i4"])
def test_half_precision_and_foreign_byte_order(counts, name_cells, dtype):
    np.testing.assert_array_equal(joined(name_cells(counts.astype(dtype))), counts)


def test_repeated_and_unsorted_entries_are_summed_without_touching_them(name_cells, unchanged):
    # cell 0 holds gene 2 twice, gene 0 last
    data, indices = np.array([1, 2, 4, 8], dtype=np.float32), np.array([2, 2, 0, 1])
    matrix = sparse.csr_matrix((data, indices, np.array([0, 3, 4])), shape=(2, 3))
    adata = name_cells(matrix)
    with unchanged(adata):
        (_, block), *rest = iter_blocks(adata)
    assert not rest
    assert block.has_canonical_format
    assert block.nnz == 3
    np.testing.assert_array_equal(block.toarray(), [[4, 0, 3], [0, 8, 0]])


@pytest.mark.parametrize("convert", [np.array, sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_read_only_memory_is_enough(counts, name_cells, convert):
    matrix = convert(counts)
    arrays = [matrix] if isinstance(matrix, np.ndarray) else [matrix.data, matrix.indices, matrix.indptr]
    for array in arrays:
        array.flags.writeable = False
    adata = name_cells(matrix)
    np.testing.assert_array_equal(joined(adata), counts)
    np.testing.assert_array_equal(joined(adata[PERMUTED]), counts[PERMUTED])
    sample_rows(adata, n_rows=16)


@pytest.mark.parametrize("dtype", [object, "complex64", "S3"])
def test_what_is_not_a_number_is_refused(name_cells, dtype):
    adata = name_cells(np.ones((3, 2), dtype=np.float32))
    adata.layers["odd"] = np.ones((3, 2)).astype(dtype)
    with pytest.raises(TypeError, match="expected numbers"):
        list(iter_blocks(adata, "odd"))


def test_what_is_missing_is_said(name_cells):
    adata = name_cells(np.ones((3, 2), dtype=np.float32))
    adata.layers["counts"] = adata.X.copy()
    with pytest.raises(KeyError, match=r"layer='count'.*which has 'counts'\."):
        list(iter_blocks(adata, "count"))
    with pytest.raises(KeyError, match="count"):
        sample_rows(adata[1:], "count")
    for empty in (adata[:0], adata[:, :0], adata[:0].copy(), adata[:, :0].copy()):
        with pytest.raises(ValueError, match=r"is empty: it has \d cells and \d genes"):
            list(iter_blocks(empty))
        with pytest.raises(ValueError, match="is empty"):
            sample_rows(empty)
    hollow = ad.AnnData(obs=adata.obs, var=adata.var, layers={"counts": adata.X})
    for each in (hollow, hollow[1:]):
        with pytest.raises(ValueError, match=r"`adata.X` is None.*layer="):
            list(iter_blocks(each))
        assert joined(each, "counts").shape == each.shape
    with pytest.raises(ValueError, match="`size=0` must be above 0"):
        list(iter_blocks(adata, size=0))


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_view_of_any_storage_in_any_step(store, counts, data):
    how = data.draw(
        st.sampled_from(["dense", "csr_matrix", "csc_matrix", "dask csr_matrix", "backed csr", "zarr dense"])
    )
    rows = data.draw(st.lists(st.integers(-53, 52), min_size=1, max_size=60))
    columns = data.draw(st.lists(st.integers(-17, 16), min_size=1, max_size=20, unique_by=lambda i: i % 17))
    size = data.draw(st.integers(1, 60))
    shown = store(how, counts)[np.array(rows), np.array(columns)]
    np.testing.assert_array_equal(joined(shown, size=size), counts[rows][:, columns])


def test_sample_is_rows_spread_over_the_object(store, everyhow, counts, unchanged):
    marked = counts.copy()
    marked[:, 0] = np.arange(1, 54)  # the gene that numbers the cells
    adata = store(everyhow, marked)
    with unchanged(adata):
        sample = sample_rows(adata, n_rows=16, pieces=4)
    assert isinstance(sample, sparse.csr_matrix)
    cells = sample.toarray()[:, 0].astype(int) - 1
    np.testing.assert_array_equal(sample.toarray(), marked[cells])
    assert len(cells) == 16
    assert cells[0] == 0
    assert cells[-1] == 52
    assert (np.diff(cells) > 0).all()
    shown = sample_rows(adata[PERMUTED], n_rows=16, pieces=4).toarray()
    np.testing.assert_array_equal(shown, marked[PERMUTED][cells])


@pytest.mark.parametrize("n_rows", [53, 54, 10_000])
def test_small_objects_are_sampled_whole(store, everyhow, counts, n_rows):
    np.testing.assert_array_equal(sample_rows(store(everyhow, counts), n_rows=n_rows).toarray(), counts)


@pytest.fixture(scope="module")
def big() -> sparse.csr_matrix:
    """8,000 x 300, a fifth filled: 3.8 MB, 9.6 MB where dense."""
    return sparse.random(8_000, 300, 0.2, format="csr", dtype=np.float32, random_state=0)


def peak_of_a_walk(adata: ad.AnnData, size: int = 128) -> int:
    """Bytes allocated at most while the blocks go by."""
    tracemalloc.start()
    try:
        for _ in iter_blocks(adata, None, size):
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("how", ["csr", "dense"])
def test_memory_is_bounded_by_the_block(big, how, tmp_path, name_cells):
    adata = name_cells(big if how == "csr" else big.toarray())
    size_of_x = 3_800_000 if how == "csr" else 9_600_000
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    kept = np.random.default_rng(0).random(8_000) < 0.7
    for each in (adata, adata[:-1], adata[np.argsort(kept), ::-1], backed, backed[kept]):
        next(iter_blocks(each))  # what is imported or cached at first use does not count
        assert peak_of_a_walk(each) < size_of_x / 4


def test_memory_of_a_column_major_file_is_bounded(big, tmp_path, name_cells):
    name_cells(big.tocsc()).write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert peak_of_a_walk(backed[10:]) < 3_800_000 / 2


def test_column_major_matrices_are_scanned_few_times(big, name_cells):
    class Counted(sparse.csc_matrix):
        reads = 0

        def __getitem__(self, key):
            Counted.reads += 1
            return super().__getitem__(key)

    adata = name_cells(sparse.csc_matrix(big))
    adata.X = Counted(adata.X)
    for each in (adata, adata[1:]):
        Counted.reads = 0
        assert len(list(iter_blocks(each, None, 64))) >= 7_999 // 64
        assert 0 < Counted.reads <= 40


def test_each_dask_chunk_is_computed_once(counts, name_cells):
    import dask.array as da

    computed: list[tuple[int, int]] = []

    def note(chunk: np.ndarray, block_info: object = None) -> np.ndarray:
        if block_info:
            computed.append(block_info[0]["chunk-location"])
        return chunk

    x = da.from_array(counts, chunks=(20, 17)).map_blocks(note, dtype=np.float32, meta=np.empty((0, 0), np.float32))
    adata = name_cells(x)
    for each in (adata, adata[3:], adata[:, 4:9]):
        computed.clear()
        joined(each, size=4)
        assert sorted(computed) == [(0, 0), (1, 0), (2, 0)]


def test_small_dask_chunks_are_read_together(counts, name_cells):
    import dask.array as da

    adata = name_cells(da.from_array(counts, chunks=(2, 17)))
    assert len(list(iter_blocks(adata, None, 20))) == 3


def test_names_may_repeat_among_cells(counts, name_cells):
    adata = name_cells(counts)
    adata.obs_names = pd.Index(["same"] * 53)
    np.testing.assert_array_equal(joined(adata[::2]), counts[::2])


def test_dense_rows_are_the_same_rows(store, everyhow, counts):
    parent = store(everyhow, counts)
    for name, (rows, columns) in VIEWS.items():
        expected = counts[rows][:, columns]
        found = StoredRows(parent[rows, columns])
        backwards = found.read_dense(np.arange(len(expected))[::-1])
        assert isinstance(backwards, np.ndarray)
        assert backwards.dtype == np.float32
        np.testing.assert_array_equal(backwards, expected[::-1], err_msg=name)
        np.testing.assert_array_equal(found.read_dense(slice(0, 1)), expected[:1], err_msg=name)
