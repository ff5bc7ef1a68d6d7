"""The transformer as users meet it: trained, explained, saved, on queries that lack genes."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import sims_tools as sims

SMALL: dict[str, Any] = {"model": "cell_transformer", "width": 16, "n_layers": 1, "n_heads": 2, "progress_bar": False}
QUICK: dict[str, Any] = {"learning_rate": 5e-3, "dropout": 0.1, "max_epochs": 8}


@pytest.fixture(scope="module", params=["default", "fast"])
def trained(request: pytest.FixtureRequest, planted: ad.AnnData) -> tuple[Any, ad.AnnData]:
    reference = planted.copy()
    return sims.tl.train(reference, "cell_type", preset=request.param, **SMALL, **QUICK), reference


def test_it_learns_what_was_planted_and_records_it(trained):
    model, reference = trained
    query = reference.copy()
    sims.tl.annotate(query, model, progress_bar=False)
    assert (query.obs["cell_transformer"].astype(str) == query.obs["cell_type"].astype(str)).mean() > 0.9
    params = reference.uns["cell_transformer"]["params"]
    assert (params["gene_choice"], params["n_top_genes"]) == ("highly_variable", 1200)
    assert params["training"]["monitor"] == "macro_f1"
    assert set(reference.obs["cell_transformer_split"]) == {"train", "validation"}


def test_attention_is_its_explanation_and_is_called_so(trained):
    model, reference = trained
    query = reference[:50].copy()
    sims.tl.annotate(query, model, progress_bar=False)
    received = query.obsm["cell_transformer_masks"]
    assert sparse.issparse(received)
    assert received.shape == (50, 60)
    np.testing.assert_allclose(received.sum(1), 1, atol=1e-5)
    assert query.uns["cell_transformer"]["explanation"] == "attention received"
    expressed = query.X > 0
    only = (received.toarray() > 0) <= expressed.toarray()
    assert only.all() == (model.params_["preset"] == "fast")
    axis = sims.pl.feature_masks(query, kind="bar", key="cell_transformer", show=False)
    assert axis.get_xlabel().startswith("summed attention received")
    axis = sims.pl.feature_masks(query, kind="heatmap", key="cell_transformer", show=False)
    (bar,) = axis.child_axes
    assert bar.get_title(loc="left").split() == ["mean", "attention", "received", "(share", "of", "maximum)"]


def test_a_gene_that_the_query_lacks_is_a_gene_without_counts(trained):
    model, reference = trained
    full = reference[:40].copy()
    totals = np.asarray(full.X.sum(1)).ravel()
    lacking, silent = full[:, 5:].copy(), full.copy()
    silent.X = sparse.csr_matrix(silent.X.multiply(np.arange(60) >= 5))
    first = np.concatenate([each.logits for each in model.infer(lacking, totals=totals)])
    second = np.concatenate([each.logits for each in model.infer(silent, totals=totals)])
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_counts_and_their_logarithms_are_the_same_cells(trained):
    model, reference = trained
    counts, logs = reference[:40].copy(), reference[:40].copy()
    sc.pp.normalize_total(logs, target_sum=1e4)
    sc.pp.log1p(logs)
    np.testing.assert_allclose(model.predict(logs, soft=True), model.predict(counts, soft=True), atol=1e-5)


def test_cells_are_told_apart_by_themselves_alone(trained):
    """Not by their minibatch, their order, the number of cells read at a time, or which cells were empty."""
    model, reference = trained
    query = reference[:60].copy()
    query.X = sparse.csr_matrix(query.X.multiply((np.arange(60) != 7)[:, None]))
    whole = model.predict(query, soft=True).to_numpy()
    np.testing.assert_allclose(model.predict(query, soft=True, batch_size=7), whole, atol=1e-5)
    np.testing.assert_allclose(model.predict(query[::-1].copy(), soft=True)[::-1], whole, atol=1e-5)
    sims.tl.annotate(query, model, progress_bar=False)
    assert query.obs["cell_transformer"].iloc[7] == "Unknown"
    assert query.obsm["cell_transformer_masks"][7].nnz == 0


def test_what_is_saved_is_what_is_loaded(trained, tmp_path):
    model, reference = trained
    model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    assert type(loaded) is sims.models.CellTransformer
    assert loaded.params_ == model.params_
    np.testing.assert_array_equal(loaded.predict(reference, soft=True), model.predict(reference, soft=True))


def test_the_same_seed_trains_the_same_weights(cells):
    options = {**SMALL, "max_epochs": 2}
    first, second, other = (
        sims.tl.train(cells.copy(), "cell_type", random_state=seed, **options).predict(cells, soft=True)
        for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_training_follows_the_notebook():
    settings = sims.models.CellTransformer.presets["default"].training
    assert (settings.optimizer, settings.learning_rate, settings.weight_decay) == ("Adam", 1e-4, 0)
    assert (settings.batch_size, settings.patience, settings.monitor) == (32, 5, "macro_f1")
    assert (settings.class_weights, settings.schedule, settings.restore_best) == (1.0, "constant", True)


def test_it_trains_in_half_precision(cells):
    model = sims.tl.train(cells, "cell_type", precision="bf16-mixed", **{**SMALL, "max_epochs": 1})
    assert np.isfinite(model.predict(cells, soft=True)).all().all()


def test_proteins_and_scaled_genes_are_refused(cells):
    cells.obsm["protein_expression"] = np.ones((200, 3))
    before = set(cells.uns), set(cells.obs)
    with pytest.raises(ValueError, match=r"reads genes alone, and the object has 3 proteins"):
        sims.tl.train(cells, "cell_type", protein_obsm_key="protein_expression", **SMALL)
    for name in ("scale_genes", "center_genes"):
        with pytest.raises(ValueError, match=f"`{name}` must be False"):
            sims.tl.train(cells, "cell_type", **{name: True}, **SMALL)
    assert (set(cells.uns), set(cells.obs)) == before


def test_the_genes_of_a_mudata():
    mdata = sims.data.planted_cite(n_cells=120, n_genes=40, n_proteins=4)
    model = sims.tl.train(mdata, "cell_type", modalities={"rna": "rna"}, **{**SMALL, "max_epochs": 1})
    sims.tl.annotate(mdata, model, progress_bar=False)
    assert "cell_transformer" in mdata.obs
    assert mdata.mod["rna"].obsm["cell_transformer_masks"].shape[1] == len(model.genes)
    assert mdata.mod["rna"].uns["cell_transformer"]["explanation"] == "attention received"
