"""What training reads from the user's object, and that it leaves nothing there."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims
from sims_tools.data._reference import read_reference


@pytest.fixture
def obs() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    labels = rng.choice(["B", "T", "NK", "Unknown"], 53)
    return pd.DataFrame({"cell_type": pd.Categorical(labels)}, index=[f"c{i}" for i in range(53)])


def shares(reference_matrix: sparse.csr_matrix, matrix: sparse.csr_matrix) -> bool:
    return all(
        np.shares_memory(getattr(reference_matrix, name), getattr(matrix, name))
        for name in ("data", "indices", "indptr")
    )


def test_any_storage_is_read_alike(store, everyhow, counts, obs, unchanged):
    adata = store(everyhow, counts, obs)
    with unchanged(adata):
        reference = read_reference(adata, "cell_type")
        shadow = reference.shadow("Unknown")
        shadow.obs["labels"] = "touched"
        shadow.uns["_scvi"] = {"manager": 1}
    assert isinstance(reference.matrix, sparse.csr_matrix)
    np.testing.assert_array_equal(reference.matrix.toarray(), counts)
    np.testing.assert_array_equal(reference.totals, counts.sum(1))
    assert list(reference.labels.classes) == ["B", "NK", "T"]
    assert list(reference.obs_names) == [f"c{i}" for i in range(53)]
    assert list(reference.var_names) == [f"g{i}" for i in range(17)]


def test_views_are_read_and_stay_views(store, everyhow, counts, obs):
    rows, columns = np.random.default_rng(1).permutation(53)[:30], np.array([16, 1, 2, 9])
    shown = store(everyhow, counts, obs)[rows, columns]
    reference = read_reference(shown, "cell_type")
    assert shown.is_view
    np.testing.assert_array_equal(reference.matrix.toarray(), counts[rows][:, columns])
    np.testing.assert_array_equal(reference.totals, counts[rows][:, columns].sum(1))
    assert list(reference.var_names) == ["g16", "g1", "g2", "g9"]
    names = np.append(reference.labels.classes, "Unknown")[reference.labels.codes]
    kept = counts[rows][:, columns].sum(1) > 0
    np.testing.assert_array_equal(names[kept], obs["cell_type"].to_numpy()[rows][kept])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint16"])
@pytest.mark.parametrize("convert", [sparse.csr_matrix, sparse.csr_array])
def test_csr_counts_are_shared_not_copied(counts, obs, name_cells, unchanged, convert, dtype):
    adata = name_cells(convert(counts.astype(dtype)), obs)
    adata.layers["counts"] = convert(counts.astype(dtype))
    with unchanged(adata):
        for layer in (None, "counts"):
            reference = read_reference(adata, "cell_type", layer=layer)
            stored = adata.X if layer is None else adata.layers[layer]
            assert shares(reference.matrix, stored)
            assert shares(reference.shadow("Unknown").X, stored)
            assert reference.matrix.dtype == dtype


def test_the_shadow_belongs_to_us(counts, obs, name_cells, unchanged):
    adata = name_cells(sparse.csr_matrix(counts), obs)
    adata.obs_names.name, adata.var_names.name = "cell", "gene"
    with unchanged(adata):
        shadow = read_reference(adata, "cell_type").shadow("Unknown")
        shadow.obs["_scvi_labels"] = 0
        shadow.var["seen"] = True
        shadow.obs_names = [f"other{i}" for i in range(53)]
        shadow.obsm["X_pca"] = np.zeros((53, 2))
        shadow.layers["more"] = shadow.X.copy()
        shadow.var_names.name = "theirs"


def test_what_the_shadow_holds(counts, obs, name_cells):
    shadow = read_reference(name_cells(counts, obs), "cell_type").shadow("Unknown")
    expected = obs["cell_type"].astype(str).to_numpy()
    expected[7] = "Unknown"  # it has no counts
    assert list(shadow.obs["labels"]) == list(expected)
    assert list(shadow.obs["labels"].cat.categories) == ["B", "NK", "T", "Unknown"]
    np.testing.assert_array_equal(shadow.obs["total_counts"], counts.sum(1))
    assert list(shadow.obs_names) == list(obs.index)


def test_cells_without_counts_are_left_out(counts, obs, name_cells, caplog):
    counts[[1, 2]] = 0
    obs = obs.assign(cell_type=["a", "lost", "b", *["a", "b"] * 25])
    with caplog.at_level(logging.WARNING, "sims_tools"):
        labels = read_reference(name_cells(counts, obs), "cell_type").labels
    assert list(labels.classes) == ["a", "b"]
    assert list(np.flatnonzero(labels.codes < 0)) == [1, 2, 7]
    assert "3 labelled cells have no counts at all" in caplog.text


def test_no_class_is_left_but_one(counts, obs, name_cells):
    obs = obs.assign(cell_type=["b" if cell == 7 else "a" for cell in range(53)])
    with pytest.raises(ValueError, match="has only 'a' among 53 cells"):
        read_reference(name_cells(counts, obs), "cell_type")


def test_totals_are_over_all_genes(counts, obs, name_cells, unchanged):
    adata = name_cells(sparse.csr_matrix(counts), obs)
    with unchanged(adata):
        reference = read_reference(adata, "cell_type")
        fewer = reference.take_genes(np.array([2, 5, 11]))
    np.testing.assert_array_equal(fewer.matrix.toarray(), counts[:, [2, 5, 11]])
    assert list(fewer.var_names) == ["g2", "g5", "g11"]
    np.testing.assert_array_equal(fewer.totals, counts.sum(1))
    assert fewer.labels is reference.labels
    assert reference.take_genes(np.arange(17)) is reference
    assert list(reference.take_genes(np.arange(17)[::-1]).var_names) == [f"g{i}" for i in range(17)][::-1]


def test_logs_are_brought_back_to_a_linear_scale(counts, obs, name_cells, unchanged):
    linear = counts / np.maximum(counts.sum(1, keepdims=True), 1) * 3000
    adata = name_cells(sparse.csr_matrix(np.log1p(linear)), obs)
    with unchanged(adata):
        reference = read_reference(adata, "cell_type")
    assert reference.kind.scale == "log1p"
    np.testing.assert_allclose(reference.matrix.toarray(), linear, rtol=1e-4)
    np.testing.assert_allclose(np.delete(reference.totals, 7), 3000, rtol=1e-4)
    assert reference.totals[7] == 0


def test_blocks_of_chosen_cells(counts, obs, name_cells):
    reference = read_reference(name_cells(sparse.csr_matrix(counts.astype(np.int64)), obs), "cell_type")
    cells = np.array([50, 3, 8, 9, 1])
    blocks = list(reference.linear_blocks(cells, size=2))
    assert [block.shape[0] for block, _ in blocks] == [2, 2, 1]
    assert all(block.dtype == np.float32 for block, _ in blocks)
    np.testing.assert_array_equal(np.vstack([block.toarray() for block, _ in blocks]), counts[cells])
    np.testing.assert_array_equal(np.concatenate([totals for _, totals in blocks]), counts[cells].sum(1))


def test_repeated_entries_count_once_each(obs, name_cells, unchanged):
    data, indices = np.array([1, 2, 3, 1, 1], np.float32), np.array([1, 1, 0, 0, 1])
    matrix = sparse.csr_matrix((data, indices, np.array([0, 2, 3, 5])), shape=(3, 2))
    adata = name_cells(matrix, pd.DataFrame({"kind": ["a", "b", "a"]}, index=list("xyz")))
    with unchanged(adata):
        reference = read_reference(adata, "kind")
        ((block, totals),) = reference.linear_blocks(np.arange(3))
    np.testing.assert_array_equal(block.toarray(), [[0, 3], [3, 0], [1, 1]])
    np.testing.assert_array_equal(totals, [3, 3, 2])
    assert block.nnz == 4


def test_read_only_counts_are_enough(counts, obs, name_cells):
    matrix = sparse.csr_matrix(counts)
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    reference = read_reference(name_cells(matrix, obs), "cell_type")
    assert shares(reference.matrix, matrix)
    next(reference.linear_blocks(np.array([3, 1])))


@pytest.mark.parametrize("column", [[1, 2, 1], [1.5, np.nan, 2.5], [True, False, True], ["a", "b", None]])
def test_labels_of_any_type(column, name_cells):
    obs = pd.DataFrame({"kind": column}, index=list("xyz"))
    reference = read_reference(name_cells(np.ones((3, 4), np.float32), obs), "kind")
    assert len(reference.labels.classes) == 2
    assert reference.shadow("Unknown").obs["labels"].cat.categories[-1] == "Unknown"


def test_a_missing_label_column(name_cells, counts, obs):
    adata = name_cells(counts, obs)
    with pytest.raises(KeyError, match=r"labels_key='celltype'.*it has 'cell_type'.*Did you mean 'cell_type'\?"):
        read_reference(adata, "celltype")
    with pytest.raises(KeyError, match="labels_key='zzz'") as error:
        read_reference(adata, "zzz")
    assert "Did you mean" not in str(error.value)


def test_two_label_columns_of_one_name(name_cells, counts, obs):
    adata = name_cells(counts, obs)
    adata.obs = pd.concat([obs, obs], axis=1)
    with pytest.raises(ValueError, match="has 2 columns named 'cell_type'"):
        read_reference(adata, "cell_type")


def test_bad_objects_are_refused_before_anything_is_read(name_cells, counts, obs, unchanged):
    good = name_cells(counts, obs)
    hollow = ad.AnnData(obs=obs, var=good.var)
    twins = good.copy()
    twins.var_names = ["g1", "g1", *twins.var_names[2:]]
    strings = good.copy()
    strings.layers["odd"] = counts.astype(object)
    single = good.copy()
    single.obs["cell_type"] = "B"
    cases = [
        (good[:0], {}, ValueError, "`adata` is empty: it has 0 cells and 17 genes"),
        (good[:, :0], {}, ValueError, "`adata` is empty: it has 53 cells and 0 genes"),
        (hollow, {}, ValueError, "`adata.X` is None"),
        (hollow[1:], {}, ValueError, "`adata.X` is None"),
        (twins, {}, ValueError, "not unique: 'g1'"),
        (good, {"layer": "odd"}, KeyError, "`layer='odd'` is not in"),
        (strings, {"layer": "odd"}, TypeError, "type object; expected numbers"),
        (single, {}, ValueError, "only 'B' among 53 cells"),
        (single, {"unlabeled_category": "B"}, ValueError, "no label at all"),
        (good, {"input_kind": "raw"}, ValueError, "`input_kind='raw'` is not one of"),
    ]
    for adata, options, error, message in cases:
        with unchanged(adata), pytest.raises(error, match=message):
            read_reference(adata, "cell_type", **options)


def test_what_is_no_anndata_is_refused(counts):
    with pytest.raises(TypeError, match="is a str; expected an AnnData or MuData object"):
        read_reference("reference.h5ad", "cell_type")
    with pytest.raises(TypeError, match="is a DataFrame; expected an AnnData object"):
        sims.pp.input_kind(pd.DataFrame(counts))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_a_bad_value_far_from_the_sample_is_found(bad, convert, name_cells, unchanged):
    values = np.random.default_rng(0).poisson(1.0, (3000, 5)).astype(np.float32)
    values[300, 2] = bad
    obs = pd.DataFrame({"kind": ["a", "b"] * 1500}, index=[f"c{i}" for i in range(3000)])
    adata = name_cells(convert(values), obs)
    with unchanged(adata), pytest.raises(ValueError, match="negative|NaN or infinite"):
        read_reference(adata, "kind")


def test_reading_planted_cells_changes_nothing(unchanged):
    adata = sims.data.planted_cells(100, 60, 3)
    adata.uns["mine"] = {"kept": [1, 2]}
    adata.obsm["X_pca"] = np.ones((100, 2))
    adata.raw = adata.copy()
    for each in (adata, adata[::2], adata[:, 10:40]):
        with unchanged(each):
            read_reference(each, "cell_type").shadow("Unknown")
