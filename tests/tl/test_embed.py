"""`tl.embed` writes one entry of `.obsm`, from any storage, and nothing else."""

from __future__ import annotations

import warnings
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pytest

import sims_tools as sims

QUIET = {"progress_bar": False}


@pytest.fixture(scope="module")
def latent(cite_model: Any, planted_cite: Any) -> np.ndarray:
    return cite_model.get_latent_representation(planted_cite)


def parts(mdata: Any, snapshot: Any) -> dict[str, Any]:
    """Everything a MuData holds."""
    top = {
        "obs": mdata.obs.to_csv(), "var": mdata.var.to_csv(), "uns": repr(mdata.uns), "mod": list(mdata.mod),
        **{f"obsm/{name}": np.asarray(value).tobytes() for name, value in mdata.obsm.items()},
    }  # fmt: skip
    return top | {f"mod/{name}": snapshot(each) for name, each in mdata.mod.items()}


def test_the_latent_space_of_a_mudata(cite, cite_model, latent, snapshot):
    before = parts(cite, snapshot)
    assert sims.tl.embed(cite, cite_model, **QUIET) is None
    after = parts(cite, snapshot)
    assert set(after) - set(before) == {"obsm/X_cite"}
    assert {name for name in before if before[name] != after[name]} == set()
    assert cite.obsm["X_cite"].dtype == np.float32
    np.testing.assert_array_equal(cite.obsm["X_cite"], latent)


def test_a_folder_a_name_and_a_copy(cite, cite_model, latent, tmp_path):
    cite_model.save(tmp_path / "model")
    copied = sims.tl.embed(cite, tmp_path / "model", key_added="both", copy=True, batch_size=33, **QUIET)
    assert list(cite.obsm) == ["rna", "protein"]
    np.testing.assert_allclose(copied.obsm["X_both"], latent, atol=1e-5)
    with pytest.raises(ValueError, match="cannot be a key"):
        sims.tl.embed(cite, cite_model, key_added="a/b", **QUIET)
    with pytest.raises(ValueError, match="batch_size"):
        sims.tl.embed(cite, cite_model, batch_size=0, **QUIET)


def test_a_view_of_a_mudata_becomes_an_object_of_its_own(cite, cite_model, latent):
    order = np.random.default_rng(0).permutation(200)[:40]
    view = cite[order]
    sims.tl.embed(view, cite_model, **QUIET)
    assert not view.is_view
    assert list(cite.obsm) == ["rna", "protein"]
    np.testing.assert_allclose(view.obsm["X_cite"], latent[order], atol=1e-5)


def test_cells_of_both_modalities_are_paired_by_name(cite, cite_model, latent):
    mixed = mudata.MuData({"gex": cite["rna"], "adt": cite["protein"][::-1].copy()})
    sims.tl.embed(mixed, cite_model, modalities={"rna": "gex", "protein": "adt"}, **QUIET)
    np.testing.assert_allclose(mixed.obsm["X_cite"], latent, atol=1e-5)
    with pytest.raises(KeyError, match="='rna'` is not in `mdata.mod`, which has 'gex', 'adt'"):
        sims.tl.embed(mixed, cite_model, **QUIET)


def test_proteins_in_obsm_in_every_storage(cite, as_anndata, dress, store, snapshot, changes, cite_model, latent):
    adata = store(dress(as_anndata(cite)))
    before = snapshot(adata)
    sims.tl.embed(adata, cite_model, protein_obsm_key="adt", **QUIET)
    assert changes(before, snapshot(adata)) == {"obsm/X_cite"}
    assert not adata.is_view
    np.testing.assert_allclose(adata.obsm["X_cite"], latent, atol=1e-5)


def test_the_last_layer_of_a_classifier_in_every_storage(cells, dress, store, snapshot, changes, model):
    adata = store(dress(cells))
    before = snapshot(adata)
    sims.tl.embed(adata, model, **QUIET)
    assert changes(before, snapshot(adata)) == {"obsm/X_sims"}
    np.testing.assert_allclose(adata.obsm["X_sims"], model.get_latent_representation(cells), atol=1e-5)


def test_genes_of_a_classifier_are_matched_by_name(cells, model, folder):
    sims.tl.annotate(cells, model, embedding=True, **QUIET)
    query = cells[:, np.random.default_rng(0).permutation(60)].copy()
    sims.tl.embed(query, folder, key_added="space", batch_size=17, **QUIET)
    np.testing.assert_allclose(query.obsm["X_space"], cells.obsm["X_sims"], atol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fewer = sims.tl.embed(cells[:, :45].copy(), model, copy=True, **QUIET)
    assert np.isfinite(fewer.obsm["X_sims"]).all()


def test_a_classifier_of_rna_and_protein_takes_a_mudata_with_either():
    mdata = sims.data.planted_cite(n_cells=200, n_genes=60)
    own = sims.tl.sims_train(mdata, "cell_type", max_epochs=2, n_members=1, n_d=4, n_a=4, **QUIET)
    sims.tl.embed(mdata, own, **QUIET)
    assert mdata.obsm["X_sims"].shape == (200, 4)
    genes = mdata.mod["rna"].copy()
    sims.tl.embed(genes, own, **QUIET)
    assert np.isfinite(genes.obsm["X_sims"]).all()
    assert not np.allclose(genes.obsm["X_sims"], mdata.obsm["X_sims"])


def test_other_layers_and_kinds(cells, model, cite, cite_model, latent):
    cells.layers["counts"] = cells.X
    expected = sims.tl.embed(cells, model, copy=True, **QUIET).obsm["X_sims"]
    cells.X = None
    sims.tl.embed(cells, model, layer="counts", **QUIET)
    np.testing.assert_array_equal(cells.obsm["X_sims"], expected)
    for part in cite.mod.values():
        part.layers["raw"] = part.X
        part.X = None
    sims.tl.embed(cite, cite_model, layer="raw", protein_layer="raw", input_kind="counts", **QUIET)
    np.testing.assert_array_equal(cite.obsm["X_cite"], latent)


def test_bad_input_leaves_the_object_as_it_was(cite, cite_model, cells, model, as_anndata, tmp_path):
    with pytest.raises(TypeError, match="`model` is a dict"):
        sims.tl.embed(cells, {}, **QUIET)
    with pytest.raises(FileNotFoundError, match="no model folder"):
        sims.tl.embed(cells, tmp_path / "nothing", **QUIET)
    with pytest.raises(ValueError, match="`protein_obsm_key` is given, but the model reads genes alone"):
        sims.tl.embed(cells, model, protein_obsm_key="adt", **QUIET)
    with pytest.raises(ValueError, match="protein_obsm_key="):
        sims.tl.embed(cells, cite_model, **QUIET)
    with pytest.raises(TypeError, match="`adata` is a dict; expected an AnnData or a MuData"):
        sims.tl.embed({}, model, **QUIET)
    cite["protein"].X = cite["protein"].X.astype(float)
    cite["protein"].X[150, 3] = np.nan
    with pytest.raises(ValueError, match="protein: .*NaN"):
        sims.tl.embed(cite, cite_model, **QUIET)
    with pytest.raises(ValueError, match="`input_kind='raw'`"):
        sims.tl.embed(cite, cite_model, input_kind="raw", **QUIET)
    assert list(cite.obsm) == ["rna", "protein"]
    adata = as_anndata(cite)
    adata.write_h5ad(tmp_path / "cells.h5ad")
    view = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")[:20]
    with pytest.raises(ValueError, match="A view of a backed object"):
        sims.tl.embed(view, cite_model, protein_obsm_key="adt", **QUIET)
    untrained = sims.models.CITEAutoencoder
    cite["protein"].X = np.nan_to_num(cite["protein"].X)
    untrained.setup_mudata(cite)
    with pytest.raises(RuntimeError, match="not trained yet"):
        sims.tl.embed(cite, untrained(cite), **QUIET)
