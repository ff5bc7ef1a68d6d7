"""Cells with RNA and proteins: trained, annotated, explained and evaluated as an AnnData is."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims

OPTIONS: dict[str, Any] = {
    "max_epochs": 60, "learning_rate": 0.02, "weight_average": 0.9, "n_d": 8, "n_a": 8, "n_members": 1,
    "batch_size": 32, "max_selected": 4, "validation_size": 0.25, "progress_bar": False,
}  # fmt: skip

SHORT = {**OPTIONS, "max_epochs": 1}


@pytest.fixture(scope="module")
def reference() -> mudata.MuData:
    return sims.data.planted_cite(400, 60, 8, ("rna", "protein", "both"), random_state=3)


@pytest.fixture(scope="module")
def model(reference: mudata.MuData) -> Any:
    return sims.tl.sims_train(reference.copy(), "cell_type", **OPTIONS)


@pytest.fixture
def query() -> mudata.MuData:
    """Fresh cells of the same classes: the generator's classes do not depend on the number of cells."""
    cells = sims.data.planted_cite(400, 60, 8, ("rna", "protein", "both"), random_state=3)
    return cells[200:].copy()


def in_obsm(cells: mudata.MuData, *, frame: bool = True) -> ad.AnnData:
    adata = cells.mod["rna"].copy()
    adata.obs["cell_type"] = cells.obs["cell_type"]
    counts, names = cells.mod["prot"].X, cells.mod["prot"].var_names
    adata.obsm["protein"] = pd.DataFrame(counts.toarray(), adata.obs_names, names) if frame else counts
    return adata


def right(cells: mudata.MuData) -> np.ndarray:
    """(n_obs,) whether the call is the true class."""
    return (cells.obs["sims"].astype(str) == cells.obs["cell_type"].astype(str)).to_numpy()


def all_masks(cells: mudata.MuData) -> np.ndarray:
    return np.hstack([cells.mod[name].obsm["sims_masks"].toarray() for name in ("rna", "prot")])


def test_training_writes_beside_the_labels_and_nowhere_else(reference, snapshot, changes):
    cells = reference.copy()
    before = {name: snapshot(cells.mod[name]) for name in cells.mod}
    columns = list(cells.obs.columns)
    trained = sims.tl.sims_train(cells, "cell_type", **{**OPTIONS, "max_epochs": 1})
    assert all(changes(before[name], snapshot(cells.mod[name])) == set() for name in cells.mod)
    assert list(cells.obs.columns) == [*columns, "sims_split"]
    assert set(cells.obsm) == {"rna", "prot"}
    facts = cells.uns["sims"]
    assert list(facts["features"]) == list(cells.mod["rna"].var_names)
    assert list(facts["protein_features"]) == list(cells.mod["prot"].var_names) == list(trained.proteins)
    assert facts["params"]["protein_transform"] == "clr"
    assert facts["params"]["modality_dropout"] == trained.params_["modality_dropout"] > 0
    assert trained.n_rna == 60
    assert list(trained.genes[-2:]) == ["protein:protein_6", "protein:protein_7"]
    assert "8 proteins" in trained._model_summary_string


def test_annotation_goes_to_the_top_and_masks_to_their_modality(model, query, snapshot, changes):
    before = {name: snapshot(query.mod[name]) for name in query.mod}
    columns = list(query.obs.columns)
    sims.tl.annotate(query, model, reject=0.2, prediction_sets=0.2, embedding=True, groupby="donor", progress_bar=False)
    for name in query.mod:
        assert changes(before[name], snapshot(query.mod[name])) == {"obsm/sims_masks", "uns/sims"}
    added = [name for name in query.obs.columns if name not in columns]
    assert added == [
        "sims", "sims_confidence", "sims_novelty", "sims_second", "sims_margin", "sims_majority", "sims_majority_share",
        "sims_set_size", "sims_rna_share",
    ]  # fmt: skip
    assert query.obs["sims_rna_share"].dtype == np.float32
    known = (query.obs["sims"] != "Unknown").to_numpy()
    assert known.mean() > 0.75  # a fifth may be rejected
    assert right(query)[known].mean() > 0.95
    for name in query.mod:
        masks = query.mod[name].obsm["sims_masks"]
        assert isinstance(masks, sparse.csr_matrix)
        assert masks.dtype == np.float32
        assert list(query.mod[name].uns["sims"]["features"]) == list(query.mod[name].var_names)
    weights = all_masks(query)
    np.testing.assert_allclose(weights.sum(1), 1, rtol=1e-5)
    np.testing.assert_allclose(query.obs["sims_rna_share"], weights[:, :60].sum(1), atol=1e-6)
    assert query.uns["sims"]["modalities"] == {"rna": "rna", "protein": "prot"}
    assert {"sims_prob", "sims_sets", "X_sims"} <= set(query.obsm)


def test_a_second_annotation_replaces_the_first_in_all_modalities(model, query):
    sims.tl.annotate(query, model, progress_bar=False)
    sims.tl.annotate(query, model, modalities={"rna": "rna"}, masks=False, progress_bar=False)
    assert all("sims_masks" not in query.mod[name].obsm for name in query.mod)
    assert all("sims" not in query.mod[name].uns for name in query.mod)
    assert "sims_rna_share" not in query.obs


def test_the_order_of_cells_in_a_modality_does_not_matter(model, query):
    other = mudata.MuData({"rna": query.mod["rna"].copy(), "prot": query.mod["prot"][::-1].copy()})
    other.obs["cell_type"] = query.obs["cell_type"].reindex(other.obs_names)
    sims.tl.annotate(query, model, progress_bar=False)
    sims.tl.annotate(other, model, progress_bar=False)
    names = query.obs_names
    assert (other.obs.loc[names, "sims"] == query.obs["sims"]).all()
    rows = other.mod["prot"].obs_names.get_indexer(names)
    one, same = (each.mod["prot"].obsm["sims_masks"].toarray() for each in (query, other))
    np.testing.assert_array_equal(one, same[rows])
    a, b = sims.get.mask_df(query, names[3]), sims.get.mask_df(other, names[3])
    pd.testing.assert_frame_equal(a, b)


def test_training_does_not_mind_the_order_either(reference):
    other = mudata.MuData({"rna": reference.mod["rna"].copy(), "prot": reference.mod["prot"][::-1].copy()})
    other.obs["cell_type"] = reference.obs["cell_type"].reindex(other.obs_names)
    found = [
        sims.tl.sims_train(each, "cell_type", **{**OPTIONS, "max_epochs": 2}) for each in (reference.copy(), other)
    ]
    for one, same in zip(*(each.module.state_dict().values() for each in found), strict=True):
        assert bool((one == same).all())


@pytest.mark.parametrize("frame", [True, False])
def test_proteins_in_obsm_give_the_same_calls(reference, query, frame):
    cells = in_obsm(reference, frame=frame)
    options = {**OPTIONS, "max_epochs": 5}
    trained = sims.tl.sims_train(cells, "cell_type", protein_obsm_key="protein", **options)
    of_mudata = sims.tl.sims_train(reference.copy(), "cell_type", **options)
    assert [name == "protein:protein_0" for name in of_mudata.genes].count(True) == 1
    fresh = in_obsm(query, frame=frame)
    sims.tl.annotate(fresh, trained, progress_bar=False)  # the entry of `.obsm` is remembered
    sims.tl.annotate(query, of_mudata, progress_bar=False)
    np.testing.assert_array_equal(fresh.obsm["sims_prob"], query.obsm["sims_prob"])
    masks = np.hstack([fresh.obsm[name].toarray() for name in ("sims_masks", "sims_protein_masks")])
    np.testing.assert_array_equal(masks, all_masks(query))
    assert fresh.obsm["sims_masks"].shape[1] == len(fresh.uns["sims"]["features"]) == 60
    assert fresh.obsm["sims_protein_masks"].shape[1] == len(fresh.uns["sims"]["protein_features"]) == 8
    table = sims.get.mask_df(fresh, n_genes=None)
    assert set(table["modality"]) == {"rna", "protein"}
    if frame:
        pd.testing.assert_frame_equal(table, sims.get.mask_df(query, n_genes=None))


@pytest.mark.parametrize(("kept", "said"), [("rna", "no proteins"), ("prot", "no RNA")])
def test_one_modality_alone_is_annotated_with_one_line(model, query, kept, said, caplog):
    alone = mudata.MuData({kept: query.mod[kept].copy()})
    with caplog.at_level(logging.WARNING, "sims_tools"):
        sims.tl.annotate(alone, model, reject=0.2, prediction_sets=0.2, progress_bar=False)
    assert [said in each.message for each in caplog.records] == [True]
    own = query.obs["cell_type"].astype(str).str.startswith(("rna", "both") if kept == "rna" else ("protein", "both"))
    called = alone.obs["sims"].astype(str).to_numpy()
    assert (called == query.obs["cell_type"].astype(str))[own & (called != "Unknown")].mean() > 0.9
    share = alone.obs["sims_rna_share"]
    assert (share == (1 if kept == "rna" else 0)).all()
    assert list(alone.uns["sims"]["gene_match"]["modalities"]) == [{"rna": "rna", "prot": "protein"}[kept]]


def test_genes_of_an_anndata_and_a_modality_are_the_same_query(model, query):
    alone = mudata.MuData({"rna": query.mod["rna"].copy()})
    sims.tl.annotate(alone, model, progress_bar=False)
    adata = query.mod["rna"].copy()
    sims.tl.annotate(adata, model, progress_bar=False)
    np.testing.assert_array_equal(adata.obsm["sims_prob"], alone.obsm["sims_prob"])


def test_each_cell_is_calibrated_for_what_there_is_of_it(model, query):
    """Cells without proteins among others get what they get alone: label, probability, set and novelty."""
    how = {"reject": 0.2, "prediction_sets": 0.2, "progress_bar": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixed = mudata.MuData({"rna": query.mod["rna"].copy(), "prot": query.mod["prot"][50:].copy()})
    alone = mudata.MuData({"rna": query.mod["rna"][:50].copy()})
    for each in (mixed, alone, query):
        sims.tl.annotate(each, model, **how)
    first, rest = query.obs_names[:50], query.obs_names[50:]
    rows = mixed.obs_names.get_indexer(first), mixed.obs_names.get_indexer(rest)
    np.testing.assert_allclose(mixed.obsm["sims_prob"][rows[0]], alone.obsm["sims_prob"], rtol=1e-5)
    np.testing.assert_allclose(mixed.obsm["sims_prob"][rows[1]], query.obsm["sims_prob"][50:], rtol=1e-5)
    for column in ("sims", "sims_set_size"):
        assert (mixed.obs.loc[first, column].astype(str) == alone.obs[column].astype(str)).all()
    np.testing.assert_allclose(mixed.obs.loc[first, "sims_novelty"], alone.obs["sims_novelty"], atol=1e-5)
    assert mixed.mod["prot"].obsm["sims_masks"].shape[0] == 150
    temperatures = [model.confidence_.of(seen).temperature.value for seen in (1, 2, 3)]
    assert len(set(temperatures)) == 3


def test_probabilities_of_one_modality_are_as_right_as_they_say(reference):
    """Proteins cannot tell the RNA class from ... nothing: where only one modality is seen, calls are less sure."""
    classes = ("rna", "rna", "protein", "protein")
    cells = sims.data.planted_cite(900, 60, 8, classes, random_state=1)
    trained = sims.tl.sims_train(cells[:600].copy(), "cell_type", **OPTIONS)
    for kept in ("rna", "prot"):
        alone = mudata.MuData({kept: cells.mod[kept][600:].copy()})
        alone.obs["cell_type"] = cells.obs["cell_type"][600:]
        sims.tl.annotate(alone, trained, progress_bar=False)
        sims.tl.evaluate(alone, "cell_type")
        scores = sims.get.evaluation_df(alone).set_index(["cells", "score"])["value"]
        assert 0.6 < scores["known", "accuracy"] < 0.9  # two of four classes look alike
        assert scores["known", "ece"] < 0.12
        seen = 1 if kept == "rna" else 2
        found = trained.confidence_
        wrong = found.temperature.apply(np.log(np.maximum(alone.obsm["sims_prob"], 1e-9)))
        assert found.of(seen).temperature.value != found.temperature.value
        assert wrong.shape == alone.obsm["sims_prob"].shape


def test_other_panels_match_by_name(model, query, caplog):
    panel = query.mod["prot"][:, :6].copy()
    panel.var_names = [f"{name.replace('_', '-').upper()}_TotalSeqB" for name in panel.var_names]
    extra = ad.AnnData(np.full((panel.n_obs, 2), 500.0, np.float32), panel.obs[[]], pd.DataFrame(index=["CD99", "IgG"]))
    other = mudata.MuData({"rna": query.mod["rna"].copy(), "prot": ad.concat([panel, extra], axis=1)})
    with caplog.at_level(logging.INFO, "sims_tools"):
        sims.tl.annotate(other, model, progress_bar=False)
    assert "6 proteins are known under another name: protein_0 is 'PROTEIN-0_TotalSeqB'" in caplog.text
    assert "2 of the model's 8 proteins are missing" in caplog.text
    report = other.uns["sims"]["gene_match"]["proteins"]
    counts = [report[f"n_{name}"] for name in ("model_proteins", "query_proteins", "matched", "renamed")]
    assert counts == [8, 8, 6, 6]
    assert set(report["missing"]) == {"protein_6", "protein_7"}
    assert other.uns["sims"]["protein_feature_names"][0] == "PROTEIN-0_TotalSeqB"
    fewer = mudata.MuData({"rna": query.mod["rna"].copy(), "prot": query.mod["prot"][:, :6].copy()})
    sims.tl.annotate(fewer, model, progress_bar=False)
    np.testing.assert_array_equal(other.obsm["sims_prob"], fewer.obsm["sims_prob"])


def test_a_protein_named_like_a_gene_is_another_feature(reference, query):
    for cells in (reference := reference.copy(), query):
        cells.mod["prot"].var_names = cells.mod["rna"].var_names[:8]
    assert (reference.mod["prot"].var_names == reference.mod["rna"].var_names[:8]).all()
    trained = sims.tl.sims_train(reference, "cell_type", **{**OPTIONS, "max_epochs": 10})
    sims.tl.annotate(query, trained, progress_bar=False)
    table = sims.get.mask_df(query, n_genes=None)
    assert {"gene_0", "protein:gene_0"} <= set(trained.genes)
    assert table["gene"].is_unique
    proteins = table[table["modality"] == "protein"]
    assert proteins["gene"].str.startswith("protein:gene_").all()
    assert (proteins["gene"].str.removeprefix("protein:") == proteins["var_name"]).all()
    sims.tl.rank_mask_genes(query)
    assert len(set(query.uns["rank_mask_genes"]["names"]["both_2"])) == 68


def test_int64_counts_and_labels_in_a_modality(reference, query, model):
    cells = reference.copy()
    labels = cells.obs.pop("cell_type")
    cells.mod["prot"].obs["kind"] = labels
    for each in cells.mod.values():
        each.X = each.X.astype(np.int64)
    trained = sims.tl.sims_train(cells, "prot:kind", **OPTIONS)
    assert list(trained.classes) == list(model.classes)
    for one, same in zip(trained.module.state_dict().values(), model.module.state_dict().values(), strict=True):
        assert bool((one == same).all())


def test_unpaired_cells_train_and_are_annotated(reference, caplog):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = mudata.MuData({"rna": reference.mod["rna"][:300].copy(), "prot": reference.mod["prot"][100:].copy()})
    cells.obs["cell_type"] = reference.obs["cell_type"].reindex(cells.obs_names)
    with caplog.at_level(logging.INFO, "sims_tools"):
        trained = sims.tl.sims_train(cells, "cell_type", **{**OPTIONS, "max_epochs": 2})
    assert "100 of 400 cells were not measured in `mdata.mod['rna']`" in caplog.text
    sims.tl.annotate(cells, trained, progress_bar=False)
    both = cells.obs_names.isin(reference.obs_names[100:300])
    share = cells.obs["sims_rna_share"]
    assert (share[cells.obs_names.isin(reference.obs_names[:100])] == 1).all()
    assert (share[cells.obs_names.isin(reference.obs_names[300:])] == 0).all()
    assert ((share[both] > 0) & (share[both] < 1)).any()


@pytest.mark.parametrize("bad", ["empty", "normalised", "negative", "modality", "key", "pattern"])
def test_bad_input_leaves_the_object_as_it_was(reference, bad):
    cells, options = reference.copy(), {}
    counts = cells.mod["prot"].X.toarray()
    if bad == "empty":
        cells = mudata.MuData({"rna": reference.mod["rna"].copy(), "prot": reference.mod["prot"][:0].copy()})
        cells.obs["cell_type"] = reference.obs["cell_type"]
    elif bad == "normalised":
        cells.mod["prot"].X = np.log1p(counts / 7).astype(np.float32)
    elif bad == "negative":
        cells.mod["prot"].X = counts - 5
    options = {
        "modality": {"modalities": {"rna": "rna", "protein": "adt"}},
        "key": {"protein_obsm_key": "protein"},
        "pattern": {"exclude_proteins": "IgG*"},
    }.get(bad, {})
    message = {
        "empty": "is empty: it has 0 cells", "normalised": "look normalised already", "negative": "negative values",
        "modality": "is not in `mdata.mod`", "key": "for an AnnData", "pattern": "no protein fits 'IgG\\*'",
    }[bad]  # fmt: skip
    with pytest.raises((ValueError, KeyError), match=message):
        sims.tl.sims_train(cells, "cell_type", **OPTIONS, **options)
    assert "sims" not in cells.uns
    assert "sims_split" not in cells.obs


def test_normalised_proteins_train_where_that_is_said_and_counts_are_refused_then(reference, query):
    for cells in (reference := reference.copy(), query):
        cells.mod["prot"].layers["counts"] = cells.mod["prot"].X
        cells.mod["prot"].X = np.log1p(cells.mod["prot"].X.toarray() / 7).astype(np.float32)
    trained = sims.tl.sims_train(reference, "cell_type", protein_transform="none", **OPTIONS)
    sims.tl.annotate(query, trained, progress_bar=False)
    assert right(query).mean() > 0.9
    with pytest.raises(ValueError, match="whole numbers, counts most likely"):
        sims.tl.annotate(query, trained, protein_layer="counts", progress_bar=False)


def test_proteins_are_left_out_and_stay_out(reference, query):
    trained = sims.tl.sims_train(
        reference.copy(), "cell_type", exclude_proteins=["protein_0", "*_1"], **{**OPTIONS, "max_epochs": 1}
    )
    assert list(trained.proteins) == [f"protein_{i}" for i in range(2, 8)]
    sims.tl.annotate(query, trained, progress_bar=False)
    assert query.mod["prot"].obsm["sims_masks"].shape[1] == 6


def test_saved_and_loaded(model, query, tmp_path):
    model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    assert list(loaded.genes) == list(model.genes)
    assert list(loaded.proteins) == list(model.proteins)
    assert loaded.params_ == model.params_
    other = query.copy()
    how = {"reject": 0.2, "prediction_sets": 0.2, "progress_bar": False}
    sims.tl.annotate(query, model, **how)
    sims.tl.annotate(other, str(tmp_path / "model"), **how)
    pd.testing.assert_frame_equal(query.obs, other.obs)
    alone = [mudata.MuData({"prot": query.mod["prot"][:60].copy()}) for _ in range(2)]
    for each, one in zip(alone, (model, loaded), strict=True):
        sims.tl.annotate(each, one, **how)
    pd.testing.assert_frame_equal(alone[0].obs, alone[1].obs)
    loaded.save(tmp_path / "again")
    assert list(sims.models.load(tmp_path / "again").proteins) == list(model.proteins)


def test_results_survive_a_file(model, query, tmp_path):
    sims.tl.annotate(query, model, reject=0.2, progress_bar=False)
    sims.tl.evaluate(query, "cell_type")
    sims.tl.rank_mask_genes(query)
    query.write_h5mu(tmp_path / "query.h5mu")
    read = mudata.read_h5mu(tmp_path / "query.h5mu")
    pd.testing.assert_frame_equal(sims.get.mask_df(read), sims.get.mask_df(query), check_dtype=False)
    pd.testing.assert_frame_equal(sims.get.modality_share_df(read), sims.get.modality_share_df(query))
    sims.tl.annotate(read, model, progress_bar=False)
    assert "evaluation" not in read.uns["sims"]


def test_tables_rankings_and_evaluations(model, query):
    sims.tl.annotate(query, model, progress_bar=False)
    sims.tl.evaluate(query, "cell_type")
    scores = sims.get.evaluation_df(query).set_index(["cells", "score"])["value"]
    assert scores["known", "accuracy"] == pytest.approx(right(query).mean())
    assert sims.get.prob_df(query).shape == (200, 3)
    sims.tl.rank_mask_genes(query)
    names = query.uns["rank_mask_genes"]["names"]
    assert len(names) == 68
    sims.tl.rank_mask_genes(query, modality="protein", key_added="proteins")
    marker_of = query.mod["prot"].var["marker_of"]
    best = query.uns["proteins"]["names"]["protein_1"][0]
    assert marker_of[best.removeprefix("protein:")] == "protein_1"
    with pytest.raises(ValueError, match="`modality='atac'` is not one of 'rna', 'protein'"):
        sims.tl.rank_mask_genes(query, modality="atac")
    table = sims.get.modality_share_df(query, groupby="cell_type").set_index("group")
    by_hand = query.obs.groupby(query.obs["cell_type"].astype(str))["sims_rna_share"].mean()
    np.testing.assert_allclose(table["rna"], by_hand[table.index], rtol=1e-5)
    np.testing.assert_allclose(table["rna"] + table["protein"], 1)


def test_masks_are_evaluated_over_both(model, query):
    sims.tl.annotate(query, model, progress_bar=False)
    sims.tl.evaluate_masks(
        query, model, "cell_type", n_genes=(5,), against=("random",), retrained=[model], progress_bar=False
    )
    tables = query.uns["sims"]["mask_quality"]
    overall = tables["faithfulness"].set_index(["ranking", "action", "repeat"])["accuracy"]
    assert overall["none", "none", 0] > 0.95
    assert overall["masks", "deleted", 0] < overall["random", "deleted"].mean()
    assert (tables["stability"]["jaccard"] == 1).all()
    agree = tables["agreement"].set_index("class")
    assert agree.loc["both_2", "auroc"] > 0.8
    assert (agree["n_markers"] > 0).all()  # of the protein class, a protein


def test_masks_of_one_modality_are_evaluated_too(model, query):
    alone = mudata.MuData({"rna": query.mod["rna"].copy()})
    sims.tl.annotate(alone, model, progress_bar=False)
    sims.tl.evaluate_masks(alone, model, n_genes=(3,), against=("random",), progress_bar=False)
    tables = alone.uns["sims"]["mask_quality"]
    assert tables["faithfulness"].query("ranking == 'none'")["accuracy"].tolist() == [1]


def test_views_and_files_with_proteins_in_obsm(reference, query, tmp_path):
    trained = sims.tl.sims_train(in_obsm(reference)[:300], "cell_type", protein_obsm_key="protein", **SHORT)
    whole = in_obsm(query)
    whole.write_h5ad(tmp_path / "query.h5ad")
    backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    view = whole[::2]
    for each in (whole, backed, view):
        sims.tl.annotate(each, trained, progress_bar=False)
    np.testing.assert_array_equal(backed.obsm["sims_prob"], whole.obsm["sims_prob"])
    np.testing.assert_allclose(view.obsm["sims_prob"], whole.obsm["sims_prob"][::2], rtol=1e-5)


def test_a_model_of_genes_takes_no_proteins(reference):
    adata = in_obsm(reference)
    trained = sims.tl.sims_train(adata, "cell_type", **SHORT)
    with pytest.raises(ValueError, match="`protein_obsm_key` is given, but the model reads genes alone"):
        sims.tl.annotate(adata, trained, protein_obsm_key="protein", progress_bar=False)


def test_a_copy_leaves_the_object_alone(model, query):
    found = sims.tl.annotate(query, model, copy=True, progress_bar=False)
    assert "sims" not in query.obs
    assert "sims" in found.obs
    assert "sims_masks" not in query.mod["rna"].obsm


def test_a_view_becomes_an_object_of_its_own(model, query):
    part = query[:20]
    sims.tl.annotate(part, model, progress_bar=False)
    assert part.obs["sims"].notna().all()
    assert "sims" not in query.obs


def test_a_model_of_genes_annotates_that_modality(reference, query):
    genes = reference.mod["rna"].copy()
    genes.obs["cell_type"] = reference.obs["cell_type"].to_numpy()
    trained = sims.tl.sims_train(genes, "cell_type", **{**OPTIONS, "max_epochs": 5})
    sims.tl.annotate(query, trained, progress_bar=False)
    adata = query.mod["rna"].copy()
    del adata.obsm["sims_masks"], adata.uns["sims"]
    sims.tl.annotate(adata, trained, progress_bar=False)
    np.testing.assert_allclose(adata.obsm["sims_prob"], query.obsm["sims_prob"], atol=1e-5)
    assert "sims_masks" in query.mod["rna"].obsm
    assert "sims_masks" not in query.mod["prot"].obsm
    assert "sims_rna_share" not in query.obs
    with pytest.raises(ValueError, match="over rna alone"):
        sims.get.modality_share_df(query)
