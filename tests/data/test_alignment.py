"""Query genes meet model genes by name, whatever their order, number and Ensembl version."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sims_tools.data._align import GeneMatch, check_coverage, check_unique, match_genes
from sims_tools.data._gene_ids import gene_id_kind, strip_version

SYMBOLS = np.array(["CD3D", "CD8A", "MS4A1", "NKG7", "LYZ", "PPBP", "GNLY", "CD14", "FCER1A", "CST3"])
IDS = np.array([f"ENSG000001000{i:02d}" for i in range(10)])


def genes(*names: str) -> pd.Index:
    return pd.Index(names)


def found_names(query: pd.Index, model: list[str]) -> list[str]:
    """The query's name of each model gene, checked against the column."""
    match = match_genes(query, np.array(model))
    for column, name in zip(match.columns, match.query_names, strict=True):
        assert name == (query[column] if column >= 0 else "")
    np.testing.assert_array_equal(match.found, match.query_names != "")
    return list(match.query_names)


def query_of(names: np.ndarray | list[str], **var: object) -> ad.AnnData:
    return ad.AnnData(np.ones((2, len(names)), np.float32), var=pd.DataFrame(var, index=list(names)))


@settings(max_examples=80, deadline=None, derandomize=True)
@given(data=st.data())
def test_each_value_lands_under_its_name_and_zeros_elsewhere(data):
    model = data.draw(st.lists(st.sampled_from([f"G{i}" for i in range(12)]), min_size=1, unique=True))
    query = data.draw(st.lists(st.sampled_from([f"G{i}" for i in range(16)]), min_size=1, unique=True))
    n_cells = data.draw(st.integers(0, 5))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    values = rng.integers(0, 4, (n_cells, len(query))).astype(np.float32)
    match = match_genes(pd.Index(query), np.array(model))
    selected = match.select(sparse.csr_matrix(values))
    assert isinstance(selected, sparse.csr_matrix)
    assert selected.dtype == np.float32
    expected = pd.DataFrame(values, columns=query).reindex(columns=model, fill_value=0)
    np.testing.assert_array_equal(selected.toarray(), expected.to_numpy())
    arrays = selected.data, selected.indices, selected.indptr
    assert sparse.csr_matrix(arrays, shape=selected.shape).has_canonical_format  # found anew, not only noted down


def test_the_same_genes_in_the_same_order_are_passed_through():
    block = sparse.csr_matrix(np.eye(10, dtype=np.float32))
    assert match_genes(pd.Index(SYMBOLS), SYMBOLS).select(block) is block
    reordered = match_genes(pd.Index(SYMBOLS[::-1]), SYMBOLS).select(block)
    np.testing.assert_array_equal(reordered.toarray(), np.eye(10)[:, ::-1])
    more = match_genes(pd.Index([*SYMBOLS, "EXTRA"]), SYMBOLS)
    assert more.select(sparse.csr_matrix(np.eye(11, dtype=np.float32))).shape == (11, 10)


def test_selecting_shares_nothing_that_could_be_written_to():
    values = np.arange(30, dtype=np.float32).reshape(3, 10)
    block = sparse.csr_matrix(values)
    stored = block.data, block.indices, block.indptr
    for array in stored:
        array.flags.writeable = False
    for query in (SYMBOLS[::-1], [*SYMBOLS[:4], *"ABCDEF"]):
        selected = match_genes(pd.Index(query), SYMBOLS).select(block)
        for one, other in zip((selected.data, selected.indices, selected.indptr), stored, strict=True):
            assert not np.shares_memory(one, other)
    np.testing.assert_array_equal(block.toarray(), values)


def test_selecting_again_is_the_same():
    match = match_genes(pd.Index(SYMBOLS[::-1]), SYMBOLS[:4])
    first, second = (sparse.csr_matrix(np.full((3, 10), k, np.float32)) for k in (1, 2))
    np.testing.assert_array_equal(match.select(second).toarray(), 2 * match.select(first).toarray())


@pytest.mark.parametrize(
    ("query", "model"),
    [
        (["ENSG00000100001.7"], ["ENSG00000100001"]),
        (["ENSG00000100001"], ["ENSG00000100001.7"]),
        (["ENSG00000100001.12"], ["ENSG00000100001.7"]),
        (["ENSMUSG00000100001.1"], ["ENSMUSG00000100001.2"]),
    ],
)
def test_ensembl_versions_do_not_matter_on_either_side(query, model):
    assert found_names(pd.Index(query), model) == query


def test_all_versions_in_any_order():
    query = pd.Index([f"{name}.{i}" for i, name in enumerate(IDS)])[::-1]
    model = [f"{name}.{i + 3}" for i, name in enumerate(IDS)]
    assert found_names(query, model) == list(query[::-1])


def test_the_exact_name_is_preferred():
    query = genes("ENSG00000100001.2", "ENSG00000100002.1", "ENSG00000100001.1")
    assert found_names(query, ["ENSG00000100001.1", "ENSG00000100002.5"]) == ["ENSG00000100001.1", "ENSG00000100002.1"]


def test_ambiguous_ids_are_not_matched():
    # two columns for one gene, two genes for one column, and a column that has its gene already
    two = genes("ENSG00000100001.1", "ENSG00000100001.2", "CD3D")
    assert found_names(two, ["ENSG00000100001", "CD3D"]) == ["", "CD3D"]
    one = genes("ENSG00000100001.9", "CD3D")
    assert found_names(one, ["ENSG00000100001.1", "ENSG00000100001.2", "CD3D"]) == ["", "", "CD3D"]
    taken = genes("ENSG00000100001.1", "CD3D")
    assert found_names(taken, ["ENSG00000100001.1", "ENSG00000100001.2"]) == ["ENSG00000100001.1", ""]


def test_a_foreign_gene_named_like_a_stripped_id():
    both = genes("ENSG00000100001", "ENSG00000100001.2")
    assert found_names(both, ["ENSG00000100001.3"]) == [""]
    assert found_names(both, ["ENSG00000100001.2"]) == ["ENSG00000100001.2"]
    assert found_names(both, ["ENSG00000100001"]) == ["ENSG00000100001"]


@pytest.mark.parametrize(
    "name", ["HLA-DRA.1", "Y_RNA.3", "RP11-34P13.7", "ENSG00000100001.1_PAR_Y", "ENSG001.1", "NKX2.1"]
)
def test_only_ensembl_versions_are_taken_off(name):
    assert strip_version(pd.Index([name]))[0] == name
    assert found_names(pd.Index([name]), [name.rsplit(".", 1)[0]]) == [""]


def test_names_are_not_guessed():
    assert found_names(genes("cd3d", "CD3D ", "Cd3d"), ["CD3D"]) == [""]


def test_no_model_gene_takes_two_columns_nor_any_column_two_genes():
    rng = np.random.default_rng(0)
    for _ in range(30):
        query = pd.unique(np.char.add(rng.choice(IDS, 8), rng.choice(["", ".1", ".2"], 8)))
        model = pd.unique(np.char.add(rng.choice(IDS, 8), rng.choice(["", ".1", ".2"], 8)))
        columns = match_genes(pd.Index(query), model).columns
        used = columns[columns >= 0]
        assert len(set(used)) == len(used)
        assert all(strip_version(pd.Index([model[i]]))[0] in query[c] for i, c in enumerate(columns) if c >= 0)


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
def test_names_of_any_type(dtype):
    index = pd.Index(SYMBOLS[::-1].tolist()).astype(dtype)
    for model in (SYMBOLS, SYMBOLS.astype(object)):
        match = match_genes(index, model)
        np.testing.assert_array_equal(match.columns, np.arange(10)[::-1])
        assert match.model_genes.dtype.kind == match.query_names.dtype.kind == "U"


def test_repeated_names_are_refused():
    with pytest.raises(ValueError, match=r"not unique: 'A', 'C' occur more than once.*var_names_make_unique"):
        match_genes(genes("A", "B", "A", "C", "C"), np.array(["A"]))
    check_unique(genes("A", "a", "A "))


def test_coverage_is_the_share_of_the_mask_weight():
    match = match_genes(pd.Index(SYMBOLS[:3]), SYMBOLS)
    weights = np.array([5.0, 3, 1, 1, 0, 0, 0, 0, 0, 0])
    assert match.coverage(weights) == pytest.approx(0.9)
    assert match.coverage(np.ones(10)) == pytest.approx(0.3)
    assert match.coverage(np.zeros(10)) == pytest.approx(0.3)


def test_what_the_report_says():
    query = genes("ENSG00000100001.3", *IDS[4:], "FOREIGN")
    match = match_genes(query, IDS)
    weights = np.array([0.0, 0.2, 0.1, 0.3, 0.4, 0, 0, 0, 0, 0])
    report = match.report(weights)
    assert list(report.pop("missing")) == [IDS[3], IDS[2], IDS[0]]
    assert report.pop("weight_coverage") == pytest.approx(0.6)
    assert report == {"n_model_genes": 10, "n_query_genes": 8, "n_matched": 7, "n_renamed": 1}


@pytest.mark.parametrize("n_found", [10, 4])
def test_the_report_is_plain_data_that_h5ad_and_zarr_keep(tmp_path, n_found):
    report = match_genes(pd.Index(SYMBOLS[:n_found]), SYMBOLS).report(np.ones(10))
    assert {type(value) for value in report.values()} == {int, float, np.ndarray}
    adata = query_of(SYMBOLS)
    adata.uns["sims"] = {"gene_match": report}
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for back in (ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_zarr(tmp_path / "a.zarr")):
        kept = back.uns["sims"]["gene_match"]
        assert list(kept["missing"]) == list(SYMBOLS[n_found:])
        assert kept["n_matched"] == n_found
        assert kept["weight_coverage"] == pytest.approx(n_found / 10)


def test_enough_coverage_says_nothing():
    weights, query = np.array([0.8, 0.2]), query_of(["A"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_coverage(match_genes(genes("A"), np.array(["A", "B"])), weights, query)


def test_some_coverage_warns_with_the_heaviest_missing_genes():
    query = query_of(SYMBOLS[5:])
    match = match_genes(query.var_names, SYMBOLS)
    weights = np.array([0.05, 0.1, 0.25, 0, 0, 0.6, 0, 0, 0, 0])
    with pytest.warns(UserWarning, match=r"has 5 of the model's 10 genes, 60% .*'MS4A1', 'CD8A', 'CD3D'"):
        check_coverage(match, weights, query)


def refused(query: ad.AnnData, model: np.ndarray, weights: np.ndarray | None = None) -> str:
    with pytest.raises(ValueError, match="too few to annotate") as error:
        check_coverage(match_genes(query.var_names, model), np.ones(len(model)) if weights is None else weights, query)
    return str(error.value)


def test_nearly_no_coverage_is_refused():
    assert "has 1 of the model's 10 genes (4.0% of its mask weight)" in refused(
        query_of(SYMBOLS[:1]), SYMBOLS, np.array([0.04, *[0.96 / 9] * 9])
    )
    assert "has 0 of the model's 10 genes" in refused(query_of(["X", "Y"]), SYMBOLS, np.zeros(10))


def test_symbols_against_ensembl_ids():
    told = refused(query_of(SYMBOLS), IDS)
    assert "model's names look like Ensembl ids ('ENSG00000100000', " in told
    assert "query's like symbols ('CD3D', 'CD8A', 'MS4A1', ... (10 in all))" in told
    assert told.endswith("Give the query the same kind of names as the model.")


@pytest.mark.parametrize("dtype", [object, "category", "string"])
def test_a_column_with_matching_names_is_pointed_at(dtype):
    ids = pd.Series([f"{name}.1" for name in IDS], index=SYMBOLS).astype(dtype)
    told = refused(query_of(SYMBOLS, n_cells=range(10), chrom=["1"] * 10, gene_ids=ids), IDS)
    assert told.endswith("`adata.var['gene_ids']` holds matching names: use them as `adata.var_names`.")


def test_a_small_panel_is_pointed_at_its_column_too():
    told = refused(query_of(SYMBOLS[:3], gene_ids=IDS[:3]), IDS)
    assert "`adata.var['gene_ids']`" in told


def test_columns_of_one_name_do_not_get_in_the_way():
    query = query_of(SYMBOLS)
    query.var = pd.DataFrame([["x", "y"]] * 10, columns=["twice", "twice"], index=query.var_names)
    assert "same kind of names" in refused(query, IDS)


def test_upper_against_lower_case():
    told = refused(query_of([name.capitalize() for name in SYMBOLS]), SYMBOLS)
    assert told.endswith("They agree but for upper and lower case: is the query from another species?")


def test_the_same_kind_of_names_yet_none_shared():
    mouse = [name.replace("ENSG", "ENSMUSG") for name in IDS]
    assert "from another species, or were most of its genes taken out?" in refused(query_of(mouse), IDS)


def test_a_query_without_genes():
    assert "`adata` is empty: it has 2 cells and 0 genes." in refused(query_of([]), SYMBOLS)


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (SYMBOLS, "symbol"),
        (IDS, "ensembl"),
        ([f"{name}.4" for name in IDS], "ensembl"),
        (["ENSMUSG00000000001", "ENSDARG00000000001"], "ensembl"),
        ([*SYMBOLS, *IDS], "mixed"),
        ([*SYMBOLS, IDS[0]], "symbol"),
        (["ENSA", "ENSG", "ENO1"], "symbol"),
        ([], "symbol"),
    ],
)
def test_the_kind_of_gene_names(names, kind):
    assert gene_id_kind(pd.Index(names, dtype=object)) == kind


def test_thousands_of_genes_are_matched_at_once():
    rng = np.random.default_rng(0)
    model = np.array([f"ENSG{i:011d}.{i % 9}" for i in range(36_000)])
    query = pd.Index([f"ENSG{i:011d}.{i % 7}" for i in rng.permutation(36_000)])
    match = match_genes(query, model)
    assert isinstance(match, GeneMatch)
    assert match.found.all()
    np.testing.assert_array_equal(strip_version(query[match.columns]), strip_version(pd.Index(model)))
