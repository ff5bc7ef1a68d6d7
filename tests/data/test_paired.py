"""RNA and protein of the same cells, found wherever they lie, and brought to the scale of the model."""

from __future__ import annotations

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sims_tools.data._align import match_genes
from sims_tools.data._clr import clr
from sims_tools.data._paired import Where, find_pair, read_modalities
from sims_tools.data._paired_cells import PairedCells, check_forms, column_moments, read_kinds
from sims_tools.data._parts import is_mudata

IN_MUDATA, IN_OBSM = Where(), Where(protein_obsm_key="adt")


def read(pair, rna_kind="auto", protein_kind="auto"):
    """All cells with all features, in the order of the pair."""
    genes = match_genes(pair.rna.var_names, pair.rna.var_names.to_numpy())
    proteins = match_genes(pair.protein.var_names, pair.protein.var_names.to_numpy())
    return PairedCells(pair, read_kinds(pair, rna_kind, protein_kind), genes=genes, proteins=proteins)


def everything(pair, *kinds):
    return read(pair, *kinds).read(np.arange(pair.n_obs))


def log_cp10k(counts):
    return np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)


def test_counts_are_normalised_in_either_object(cite, as_anndata):
    adata = as_anndata(cite)
    assert is_mudata(cite)
    assert not is_mudata(adata)
    for pair in (find_pair(cite, IN_MUDATA), find_pair(adata, IN_OBSM)):
        rna, protein = everything(pair)
        assert rna.dtype == protein.dtype == np.float32
        np.testing.assert_allclose(rna, log_cp10k(cite["rna"].X.toarray()), rtol=1e-4)
        np.testing.assert_array_equal(protein, clr(cite["protein"].X))


def test_cells_are_paired_by_name_whatever_their_order(cite):
    expected = everything(find_pair(cite, IN_MUDATA))
    order = np.random.default_rng(0).permutation(200)
    mixed = mudata.MuData({"rna": cite["rna"], "protein": cite["protein"][order].copy()})
    assert list(mixed["protein"].obs_names) != list(mixed.obs_names)
    for found, wanted in zip(everything(find_pair(mixed, IN_MUDATA)), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    some = mixed[list(mixed.obs_names[50:60])]
    for found, wanted in zip(everything(find_pair(some, IN_MUDATA)), expected, strict=True):
        np.testing.assert_array_equal(found, wanted[50:60])


def test_totals_are_over_all_genes_and_missing_features_are_nan(cite):
    pair = find_pair(cite, IN_MUDATA)
    genes = match_genes(pair.rna.var_names, np.array(["gene_7", "foreign", "gene_3"]))
    proteins = match_genes(pair.protein.var_names, np.array(["ADT_5", "no ADT", "ADT_0"]))
    rna, protein = PairedCells(pair, read_kinds(pair), genes=genes, proteins=proteins).read(np.arange(200))
    whole = log_cp10k(cite["rna"].X.toarray())
    np.testing.assert_allclose(rna[:, [0, 2]], whole[:, [7, 3]], rtol=1e-4)
    np.testing.assert_array_equal(protein[:, [0, 2]], clr(cite["protein"].X[:, [5, 0]]))
    assert np.isnan(rna[:, 1]).all()
    assert np.isnan(protein[:, 1]).all()


def test_scaled_values_are_taken_as_they_are(cite):
    rng = np.random.default_rng(0)
    cite["rna"].layers["scaled"] = rng.normal(size=(200, 40))
    cite["protein"].layers["scaled"] = rng.normal(size=(200, 6)).astype(np.float32)
    where = Where(rna_layer="scaled", protein_layer="scaled")
    rna, protein = everything(find_pair(cite, where))
    np.testing.assert_array_equal(rna, cite["rna"].layers["scaled"].astype(np.float32))
    np.testing.assert_array_equal(protein, cite["protein"].layers["scaled"])
    rna, protein = everything(find_pair(cite, IN_MUDATA), "scaled", "scaled")
    np.testing.assert_array_equal(rna, cite["rna"].X.toarray())
    np.testing.assert_array_equal(protein, cite["protein"].X)


def test_each_modality_has_a_kind_of_its_own(cite):
    cite["protein"].layers["clr"] = clr(cite["protein"].X)
    pair = find_pair(cite, Where(protein_layer="clr"))
    assert read_kinds(pair).forms == {"rna": "counts", "protein": "scaled"}
    np.testing.assert_array_equal(everything(pair)[1], cite["protein"].layers["clr"])
    cite["rna"].layers["log"] = sparse.csr_matrix(log_cp10k(cite["rna"].X.toarray()))
    logged = everything(find_pair(cite, Where(rna_layer="log")))[0]
    np.testing.assert_allclose(logged, everything(find_pair(cite, IN_MUDATA))[0], rtol=1e-3)


def test_another_form_than_the_models_is_refused(cite):
    kinds = read_kinds(find_pair(cite, IN_MUDATA))
    check_forms(kinds, {"rna": "counts", "protein": "counts"})
    with pytest.raises(ValueError, match=r"protein: the values look like counts.*scale these"):
        check_forms(kinds, {"rna": "counts", "protein": "scaled"})
    scaled = read_kinds(find_pair(cite, IN_MUDATA), "scaled", "counts")
    with pytest.raises(ValueError, match=r"rna: the values look scaled.*name their layer"):
        check_forms(scaled, {"rna": "counts", "protein": "counts"})


def test_minibatches_and_moments(cite):
    cells = read(find_pair(cite, IN_MUDATA))
    cells.labels = np.arange(200)
    part = cells.subset(np.array([7, 3, 150]))
    batch = part[[2, 0]]
    rna, protein = cells.read(np.array([150, 7]))
    np.testing.assert_array_equal(batch["X"], rna)
    np.testing.assert_array_equal(batch["proteins"], protein)
    assert batch["labels"].tolist() == [[150], [7]]
    assert [len(each["X"]) for each in cells.batches(64)] == [64, 64, 64, 8]
    moments = column_moments(cells, size=64)
    for which, values in zip(("rna", "protein"), cells.read(np.arange(200)), strict=True):
        np.testing.assert_allclose(moments[which][0], values.mean(0), rtol=1e-5)
        np.testing.assert_allclose(moments[which][1], values.std(0), rtol=1e-4)


def test_nothing_is_changed_by_reading(cite, snapshot, changes):
    before = {name: snapshot(part) for name, part in cite.mod.items()}
    everything(find_pair(cite[:50], IN_MUDATA))
    assert all(changes(before[name], snapshot(part)) == set() for name, part in cite.mod.items())
    assert list(cite.obsm) == ["rna", "protein"]


# --- errors -----------------------------------------------------------------------------------------------------------


def test_unpaired_cells(cite):
    unpaired = mudata.MuData({"rna": cite["rna"], "protein": cite["protein"][10:].copy()})
    with pytest.raises(ValueError, match=r"10 of 200 cells are not in `mdata.mod\['protein'\]` \('cell_0'"):
        find_pair(unpaired, IN_MUDATA)
    common = unpaired["rna"].obs_names.intersection(unpaired["protein"].obs_names)
    assert find_pair(unpaired[common].copy(), IN_MUDATA).n_obs == 190


def test_modalities_have_to_be_named(cite):
    with pytest.raises(KeyError, match=r"\['protein'\]='prot'` is not in `mdata.mod`, which has 'rna', 'protein'"):
        find_pair(cite, Where(protein="prot"))
    for wrong in ({"rna": "rna"}, {"rna": "a", "protein": "a"}, {"rna": "a", "adt": "b"}):
        with pytest.raises(ValueError, match="must name two modalities"):
            read_modalities(wrong)
    assert read_modalities(None) == {"rna": "rna", "protein": "protein"}


def test_an_empty_modality(cite):
    empty = mudata.MuData({"rna": cite["rna"], "protein": cite["protein"][:, []].copy()})
    with pytest.raises(ValueError, match="'protein'.* is empty: it has 200 cells and 0 features"):
        find_pair(empty, IN_MUDATA)


def test_names_that_repeat(cite):
    cite["protein"].var_names = ["CD4"] * 6
    with pytest.raises(ValueError, match=r"protein: .*not unique: 'CD4'"):
        find_pair(cite, IN_MUDATA)
    cite["rna"].obs_names = ["one"] * 200
    with pytest.raises(ValueError, match="'rna'.*obs_names` are not unique: 'one'"):
        find_pair(cite, IN_MUDATA)


def test_a_protein_may_be_named_like_a_gene(cite):
    cite["protein"].var_names = ["gene_0", *cite["protein"].var_names[1:]]
    rna, protein = everything(find_pair(cite, IN_MUDATA))
    assert not np.array_equal(rna[:, 0], protein[:, 0])


def test_proteins_in_obsm_need_a_key_and_names(cite, as_anndata):
    adata = as_anndata(cite)
    with pytest.raises(ValueError, match="protein_obsm_key="):
        find_pair(adata, IN_MUDATA)
    with pytest.raises(KeyError, match=r"='protein'` is not in `adata.obsm`, which has 'adt'"):
        find_pair(adata, Where(protein_obsm_key="protein"))
    with pytest.raises(ValueError, match="`protein_layer` is for a MuData"):
        find_pair(adata, Where(protein_obsm_key="adt", protein_layer="counts"))
    adata.obsm["bare"] = adata.obsm["adt"].to_numpy()
    assert list(find_pair(adata, Where(protein_obsm_key="bare")).protein.var_names) == list("012345")
    adata.obsm["text"] = pd.DataFrame({"CD4": ["high"] * 200}, index=adata.obs_names)
    with pytest.raises(TypeError, match="values of type object; expected numbers"):
        find_pair(adata, Where(protein_obsm_key="text"))
    with pytest.raises(TypeError, match="is a ndarray; expected an AnnData or MuData"):
        find_pair(np.zeros((2, 2)), IN_MUDATA)


def test_a_layer_that_is_missing_is_named_with_its_modality(cite):
    with pytest.raises(KeyError, match="protein: `layer='counts'` is not in"):
        find_pair(cite, Where(protein_layer="counts"))


@pytest.mark.parametrize("which", ["rna", "protein"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(cite, which, value):
    part = cite[which]
    values = part.X.toarray() if sparse.issparse(part.X) else part.X
    part.X = values.astype(np.float32)
    part.X[3, 2] = value
    with pytest.raises(ValueError, match=f"{which}: .*NaN or infinite"):
        read_kinds(find_pair(cite, IN_MUDATA))
    cells = read(find_pair(cite, IN_MUDATA), "scaled", "scaled") if which == "rna" else None
    if cells is not None:  # a value that no sample showed
        with pytest.raises(ValueError, match="rna: .*NaN or infinite"):
            cells.read(np.arange(10))


def test_negative_counts(cite):
    part = cite["protein"]
    part.X = part.X.astype(np.float32)
    part.X[:, 0] = -1
    with pytest.raises(ValueError, match="protein: The matrix holds negative values"):
        read_kinds(find_pair(cite, IN_MUDATA), protein_kind="counts")
    kinds = read_kinds(find_pair(cite, IN_MUDATA))
    assert kinds.protein == "scaled"


def test_kinds_are_checked(cite):
    pair = find_pair(cite, IN_MUDATA)
    with pytest.raises(ValueError, match="`rna_kind='raw'`"):
        read_kinds(pair, "raw")
    with pytest.raises(ValueError, match="`protein_kind='log1p'`"):
        read_kinds(pair, "auto", "log1p")


def test_what_is_no_mudata():
    assert not is_mudata(ad.AnnData(np.zeros((2, 2))))
    assert not is_mudata(None)
