"""What `annotate` writes: every key, dtype and number, against the network run by hand."""

from __future__ import annotations

import contextlib
import random
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.special import softmax

import sims_tools as sims

QUIET = {"progress_bar": False}


def annotated(adata: ad.AnnData, model: Any, **options: Any) -> ad.AnnData:
    return sims.tl.annotate(adata, model, copy=True, **QUIET, **options)


def by_hand(model: Any, counts: np.ndarray, totals: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities and masks of counts that are in the model's gene order."""
    totals = counts.sum(1, keepdims=True) if totals is None else totals
    x = np.minimum(np.log1p(counts / totals * 1e4) * model.module.transform.gene_scale.numpy(), 10)
    with torch.no_grad():
        output = model.module.network.eval()(torch.from_numpy(x.astype(np.float32)), explain=True)
    logits = output.logits.double().numpy() / model.confidence_.temperature.value
    return softmax(logits, axis=1), output.masks.numpy()


def same(first: ad.AnnData, second: ad.AnnData, *, atol: float = 1e-5) -> None:
    """The same annotation."""
    assert (first.obs["sims"].astype(str).to_numpy() == second.obs["sims"].astype(str).to_numpy()).all()
    np.testing.assert_allclose(first.obsm["sims_prob"], second.obsm["sims_prob"], atol=atol)
    np.testing.assert_allclose(first.obs["sims_confidence"], second.obs["sims_confidence"], atol=atol)
    assert abs(first.obsm["sims_masks"] - second.obsm["sims_masks"]).max() <= atol


def test_labels_are_right(cells, model):
    labels = annotated(cells, model).obs["sims"]
    assert (labels.astype(str) == cells.obs["cell_type"].astype(str)).mean() > 0.95


def test_numbers_are_those_of_the_network(cells, model):
    prob, masks = by_hand(model, cells.X.toarray())
    found = annotated(cells, model)
    np.testing.assert_allclose(found.obsm["sims_prob"], prob, atol=1e-5)
    np.testing.assert_allclose(found.obsm["sims_masks"].toarray(), masks, atol=1e-5)
    assert (found.obs["sims"].astype(str) == model.classes[prob.argmax(1)]).all()
    np.testing.assert_allclose(found.obs["sims_confidence"], prob.max(1), atol=1e-5)


def test_types_are_as_documented(cells, model):
    found = annotated(cells, model, embedding=True, top_k=2, groupby="donor")
    for column in ("sims", "sims_top2", "sims_majority"):
        assert list(found.obs[column].cat.categories) == list(model.classes)
        assert not found.obs[column].cat.ordered
        assert found.obs[column].notna().all()
    for column in ("sims_confidence", "sims_top2_prob", "sims_majority_share"):
        assert found.obs[column].dtype == np.float32
    prob, embedding = found.obsm["sims_prob"], found.obsm["X_sims"]
    assert type(prob) is type(embedding) is np.ndarray
    assert prob.dtype == embedding.dtype == np.float32
    assert prob.shape == (200, 3)
    assert embedding.shape == (200, 8)
    np.testing.assert_array_equal(embedding, model.get_latent_representation(cells))
    np.testing.assert_allclose(prob.sum(1), 1, atol=1e-6)


def test_masks_are_canonical_sparse_rows_that_sum_to_one(cells, small):
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=2, **small | {"preset": "sims"})
    masks = annotated(cells, model, batch_size=64).obsm["sims_masks"]
    assert type(masks) is sparse.csr_matrix
    assert masks.dtype == np.float32
    assert masks.shape == (200, 60)
    np.testing.assert_allclose(masks.sum(1), 1, atol=1e-5)
    fresh = sparse.csr_matrix((masks.data, masks.indices, masks.indptr), masks.shape)
    assert fresh.has_canonical_format
    assert (masks.data > 0).all()
    assert masks.nnz < 0.8 * 200 * 60


def test_uns_says_what_was_done(cells, model):
    found = annotated(cells, model, top_k=2, classes=["type_2", "type_0"], groupby="donor", min_confidence=0.5)
    facts = found.uns["sims"]
    named = {"classes", "features", "feature_var_names", "explanation"}
    assert set(facts) == named | {"params", "versions", "gene_match", "slots"}
    assert facts["explanation"] == "masks"
    assert list(facts["classes"]) == ["type_0", "type_1", "type_2"]
    assert list(facts["features"]) == list(facts["feature_var_names"]) == list(cells.var_names)
    params = facts["params"]
    assert (params["model"], params["top_k"], params["groupby"], params["min_confidence"]) == ("sims", 2, "donor", 0.5)
    assert list(params["classes"]) == ["type_0", "type_2"]
    assert facts["versions"]["sims-tools"] == sims.__version__
    match = facts["gene_match"]
    assert (match["n_model_genes"], match["n_query_genes"], match["n_matched"]) == (60, 60, 60)
    assert match["weight_coverage"] == pytest.approx(1)
    assert len(match["missing"]) == 0


def test_every_storage_gives_the_same_answer(cells, store, model):
    expected = annotated(cells, model)
    stored = store(cells)
    sims.tl.annotate(stored, model, **QUIET)
    assert list(stored.obs_names) == list(cells.obs_names)
    for column in ("sims", "sims_confidence"):
        np.testing.assert_array_equal(stored.obs[column], expected.obs[column])
    np.testing.assert_array_equal(stored.obsm["sims_prob"], expected.obsm["sims_prob"])
    assert abs(stored.obsm["sims_masks"] - expected.obsm["sims_masks"]).max() == 0


def test_counts_in_a_layer_are_the_same_counts(cells, model):
    expected = annotated(cells, model)
    cells.layers["raw"] = cells.X.tocsc()
    cells.X = cells.X * 0
    same(annotated(cells, model, layer="raw"), expected, atol=0)


def test_there_need_be_no_matrix_beside_the_layer(cells, model, small):
    expected = annotated(cells, model)
    cells.layers["raw"] = cells.X
    del cells.X
    same(annotated(cells, model, layer="raw"), expected, atol=0)
    assert sims.tl.sims_train(cells, "cell_type", layer="raw", max_epochs=1, **small).is_trained_


def test_a_layer_of_every_storage(cells, store, model, small):
    expected = annotated(cells, model)
    cells.layers["raw"] = cells.X.tocsc()
    cells.X = cells.X * 0
    stored = store(cells)
    sims.tl.annotate(stored, model, layer="raw", **QUIET)
    np.testing.assert_array_equal(stored.obsm["sims_prob"], expected.obsm["sims_prob"])


@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(cell_order=st.permutations(range(200)), gene_order=st.permutations(range(60)))
def test_a_cell_gets_its_answer_wherever_it_and_its_genes_stand(planted, model, cell_order, gene_order):
    expected = annotated(planted, model)
    found = annotated(planted[list(cell_order), list(gene_order)].copy(), model)
    same(found[planted.obs_names].copy(), expected)


@pytest.mark.parametrize("batch_size", [1, 7, 199, 200, 10_000])
def test_the_batch_size_does_not_matter(cells, model, batch_size):
    same(annotated(cells, model, batch_size=batch_size), annotated(cells, model))


def _partly(cells: ad.AnnData, model: Any, share: float = 0.2) -> tuple[ad.AnnData, ad.AnnData]:
    """Genes shuffled, partly missing and partly foreign; and the same cells with zeros for what is missing."""
    rng = np.random.default_rng(0)
    light = np.argsort(model.gene_weights)[: int(share * cells.n_vars)]
    kept = rng.permutation(np.setdiff1d(np.arange(cells.n_vars), light))
    foreign = sparse.csr_matrix(rng.poisson(1.0, (cells.n_obs, 9)).astype(np.float32))
    names = [f"foreign_{i}" for i in range(9)]
    query = ad.AnnData(
        sparse.hstack([foreign, cells.X[:, kept]], format="csr"),
        obs=cells.obs,
        var=pd.DataFrame(index=[*names, *cells.var_names[kept]]),
    )
    filled = cells.X.toarray()
    filled[:, light] = 0
    whole = ad.AnnData(
        np.hstack([filled, foreign.toarray()]), obs=cells.obs, var=pd.DataFrame(index=[*cells.var_names, *names])
    )
    return query, whole


def test_missing_genes_are_zero_and_foreign_genes_count_in_the_total_only(cells, model):
    query, whole = _partly(cells, model)
    found = annotated(query, model)
    same(found, annotated(whole, model))
    counts = whole.X[:, :60]
    prob, masks = by_hand(model, counts, whole.X.sum(1, keepdims=True))
    np.testing.assert_allclose(found.obsm["sims_prob"], prob, atol=1e-5)
    np.testing.assert_allclose(found.obsm["sims_masks"].toarray(), masks, atol=1e-5)


def test_the_gene_match_is_reported(cells, model):
    query, _ = _partly(cells, model)
    facts = annotated(query, model).uns["sims"]
    missing = set(cells.var_names) - set(query.var_names)
    match = facts["gene_match"]
    assert (match["n_model_genes"], match["n_query_genes"], match["n_matched"]) == (60, 57, 48)
    assert set(match["missing"]) == missing
    weights = pd.Series(model.gene_weights, index=model.genes)
    assert match["weight_coverage"] == pytest.approx(1 - weights[sorted(missing)].sum())
    assert list(weights[match["missing"]]) == sorted(weights[match["missing"]], reverse=True)
    here = [name if name in query.var_names else "" for name in model.genes]
    assert list(facts["feature_var_names"]) == here


def test_much_missing_mask_weight_warns_and_names_the_heaviest(cells, model):
    order = np.argsort(-model.gene_weights)
    lost = order[: int(np.searchsorted(np.cumsum(model.gene_weights[order]), 0.3)) + 1]
    query = cells[:, np.setdiff1d(np.arange(60), lost)].copy()
    with pytest.warns(UserWarning, match=f"mask weight.*{model.genes[order[0]]}") as caught:
        sims.tl.annotate(query, model, **QUIET)
    assert Path(caught[0].filename) == Path(__file__)


def test_ensembl_versions_do_not_matter(cells, small):
    cells.var_names = [f"ENSG{i:011d}.3" for i in range(60)]
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    query = cells.copy()
    query.var_names = [f"ENSG{i:011d}.{i % 7}" for i in range(60)]
    found = annotated(query, model)
    same(found, annotated(cells, model), atol=0)
    assert list(found.uns["sims"]["feature_var_names"]) == list(query.var_names)


@pytest.mark.parametrize("total", [1e4, 1e6, 100, 1])
def test_log1p_of_normalised_counts_gives_the_answer_of_the_counts(cells, model, total):
    expected = annotated(cells, model)
    counts = cells.X.toarray().astype(np.float64)
    cells.X = np.log1p(counts / counts.sum(1, keepdims=True) * total)
    same(annotated(cells, model), expected, atol=1e-4)


def test_normalised_counts_give_the_answer_of_the_counts(cells, model):
    expected = annotated(cells, model)
    counts = cells.X.toarray()
    cells.X = sparse.csr_matrix(counts / counts.sum(1, keepdims=True) * 1e4)
    same(annotated(cells, model), expected, atol=1e-4)


def test_the_user_may_overrule_the_kind_of_input(cells, model):
    counts = cells.X.toarray()
    logged = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    prob, _ = by_hand(model, logged)
    cells.X = logged
    np.testing.assert_allclose(annotated(cells, model, input_kind="counts").obsm["sims_prob"], prob, atol=1e-4)


def test_chosen_classes_are_renormalised(cells, model):
    full = annotated(cells, model).obsm["sims_prob"]
    found = annotated(cells, model, classes=["type_2", "type_0"])
    prob = found.obsm["sims_prob"]
    expected = full * [1, 0, 1] / full[:, [0, 2]].sum(1, keepdims=True)
    np.testing.assert_allclose(prob, expected, atol=1e-5)
    assert (prob[:, 1] == 0).all()
    assert list(found.obs["sims"].cat.categories) == list(model.classes)
    assert set(found.obs["sims"]) == {"type_0", "type_2"}
    np.testing.assert_array_equal(found.obs["sims_confidence"], prob.max(1))


def test_one_class_may_be_chosen_by_its_name(cells, model):
    found = annotated(cells, model, classes="type_1")
    assert set(found.obs["sims"]) == {"type_1"}
    assert (found.obs["sims_confidence"] == 1).all()


def test_runners_up_are_in_the_order_of_their_probabilities(cells, model):
    found = annotated(cells, model, top_k=3)
    prob = found.obsm["sims_prob"]
    labels = found.obs[["sims", "sims_top2", "sims_top3"]].astype(str).to_numpy()
    values = found.obs[["sims_confidence", "sims_top2_prob", "sims_top3_prob"]].to_numpy()
    np.testing.assert_array_equal(values, -np.sort(-prob, axis=1))
    assert all(len(set(row)) == 3 for row in labels)
    at = np.array([list(model.classes).index(label) for label in labels.ravel()]).reshape(labels.shape)
    np.testing.assert_array_equal(np.take_along_axis(prob, at, 1), values)


def test_a_runner_up_is_one_of_the_chosen_classes(cells, model):
    """Asked for more ranks than there are classes to choose from: an error, or nothing there, but no excluded class."""
    with contextlib.suppress(ValueError):
        found = annotated(cells, model, classes=["type_0", "type_1"], top_k=3)
        assert set(found.obs["sims_top2"]) <= {"type_0", "type_1"}
        assert found.obs["sims_top3"].isna().all()


def test_majority_vote_per_group(cells, model):
    rng = np.random.default_rng(0)
    groups = pd.Series(rng.choice(["a", "b", "c"], 200), index=cells.obs_names)
    groups[:10] = None
    cells.obs["cluster"] = pd.Categorical(groups, categories=["c", "empty", "a", "b"])
    found = annotated(cells, model, groupby="cluster").obs
    for group in "abc":
        inside = found[groups == group]
        counts = inside["sims"].value_counts().reindex(model.classes)
        assert set(inside["sims_majority"]) == {counts.idxmax()}
        np.testing.assert_allclose(inside["sims_majority_share"], counts.max() / counts.sum(), rtol=1e-6)
    alone = found[groups.isna().to_numpy()]
    assert (alone["sims_majority"] == alone["sims"]).all()
    assert (alone["sims_majority_share"] == 1).all()


def test_a_vote_counts_uncalled_cells_but_is_not_won_by_them(cells, model):
    cells.obs["cluster"] = 7
    confidence = annotated(cells, model).obs["sims_confidence"]
    found = annotated(cells, model, groupby="cluster", min_confidence=float(np.sort(confidence)[-5])).obs
    called = found["sims"][found["sims"] != "Unknown"]
    assert 0 < len(called) < len(cells) / 4  # at least 5: several may be equally sure
    assert set(found["sims_majority"]) == {called.value_counts().idxmax()}
    np.testing.assert_allclose(found["sims_majority_share"], called.value_counts().max() / 200, rtol=1e-6)


def test_weak_calls_become_unknown(cells, model):
    before = annotated(cells, model)
    limit = float(np.median(before.obs["sims_confidence"]))
    found = annotated(cells, model, min_confidence=limit)
    assert list(found.obs["sims"].cat.categories) == [*model.classes, "Unknown"]
    weak = before.obs["sims_confidence"].to_numpy() < limit
    assert weak.any()
    assert not weak.all()
    assert (found.obs["sims"][weak] == "Unknown").all()
    assert (found.obs["sims"][~weak].astype(str) == before.obs["sims"][~weak].astype(str)).all()
    np.testing.assert_array_equal(found.obsm["sims_prob"], before.obsm["sims_prob"])


def test_nothing_is_rejected_at_confidence_zero(cells, model):
    found = annotated(cells, model, min_confidence=0.0)
    assert list(found.obs["sims"].cat.categories) == [*model.classes, "Unknown"]
    assert (found.obs["sims"] != "Unknown").all()


def test_a_class_called_unknown_can_be_annotated(cells, small):
    """Where another name means "no label", "Unknown" may be a class like any other."""
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"type_1": "Unknown"})
    model = sims.tl.sims_train(cells, "cell_type", unlabeled_category="none", max_epochs=1, **small)
    assert "Unknown" in list(model.classes)
    found = annotated(cells, model, min_confidence=0.9)
    weak = found.obs["sims_confidence"] < 0.9
    assert weak.any()
    assert (found.obs["sims"][weak] == "Unknown").all()


def test_cells_without_counts_are_unknown_and_do_not_touch_the_others(cells, model):
    expected = annotated(cells, model)
    emptied = [0, 17, 199]
    counts = cells.X.toarray()
    counts[emptied] = 0
    cells.X = sparse.csr_matrix(counts)
    found = annotated(cells, model, embedding=True, top_k=2, groupby="donor")
    assert list(found.obs["sims"].cat.categories) == [*model.classes, "Unknown"]
    assert (found.obs["sims"].iloc[emptied] == "Unknown").all()
    np.testing.assert_allclose(found.obsm["sims_prob"][emptied], 1 / 3, atol=1e-6)
    np.testing.assert_allclose(found.obs["sims_confidence"].iloc[emptied], 1 / 3, atol=1e-6)
    assert found.obsm["sims_masks"][emptied].nnz == 0
    assert np.isfinite(found.obsm["X_sims"]).all()
    others = np.setdiff1d(np.arange(200), emptied)
    same(found[others], expected[others])


@pytest.mark.parametrize("logged", [False, True])
def test_only_cells_without_counts(cells, model, logged):
    cells.X = np.zeros(cells.shape, dtype=np.float64)
    found = annotated(cells, model, input_kind="log1p" if logged else "auto")
    assert (found.obs["sims"] == "Unknown").all()
    assert np.isfinite(found.obsm["sims_prob"]).all()
    assert found.obsm["sims_masks"].nnz == 0


def test_extreme_cells_get_finite_answers(cells, model):
    counts = np.zeros((4, 60), dtype=np.float64)
    counts[0, 3] = 1
    counts[1, :] = 1e9
    counts[2, 7] = 1e12
    counts[3, 5] = 3
    query = ad.AnnData(counts, var=pd.DataFrame(index=cells.var_names))
    found = annotated(query, model)
    assert np.isfinite(found.obsm["sims_prob"]).all()
    np.testing.assert_allclose(found.obsm["sims_masks"].sum(1), 1, atol=1e-5)


def test_one_cell(cells, model):
    expected = annotated(cells, model)
    found = annotated(cells[5].copy(), model, embedding=True, top_k=3, groupby="donor", min_confidence=0.1)
    assert found.obs["sims"].iloc[0] == expected.obs["sims"].iloc[5]
    np.testing.assert_allclose(found.obsm["sims_prob"], expected.obsm["sims_prob"][[5]], atol=1e-5)
    assert found.obs["sims_majority_share"].iloc[0] == 1


def test_a_view_becomes_an_object_of_its_own_without_a_warning(cells, model, small):
    part, reference = cells[50:80], cells[:100]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ad.ImplicitModificationWarning)
        sims.tl.annotate(part, model, **QUIET)
        sims.tl.sims_train(reference, "cell_type", max_epochs=1, **small)
    assert not part.is_view
    assert not reference.is_view
    same(part, annotated(cells, model)[50:80])
    assert "sims" not in cells.obs


def test_repeated_cell_names_are_no_obstacle(cells, model):
    expected = annotated(cells, model).obs["sims"].to_numpy()
    cells.obs_names = ["cell"] * 200
    np.testing.assert_array_equal(annotated(cells, model).obs["sims"].to_numpy(), expected)


@pytest.mark.parametrize("kind", [str, Path])
def test_a_saved_model_is_taken_by_its_folder(cells, model, folder, kind):
    same(annotated(cells, kind(folder)), annotated(cells, model), atol=0)


def test_without_masks_none_are_written(cells, model):
    found = annotated(cells, model, masks=False)
    assert "sims_masks" not in found.obsm
    np.testing.assert_allclose(found.obsm["sims_prob"], annotated(cells, model).obsm["sims_prob"], atol=1e-6)


def test_annotating_the_reference_keeps_what_training_recorded(cells, small):
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=2, **small)
    recorded, split = cells.uns["sims"], cells.obs["sims_split"].copy()
    sims.tl.annotate(cells, model, **QUIET)
    sims.tl.annotate(cells, model, **QUIET)
    facts = cells.uns["sims"]
    assert facts["metrics"] == recorded["metrics"]
    assert facts["training_params"]["labels_key"] == "cell_type"
    assert facts["training_params"]["training"] == recorded["params"]["training"]
    assert set(facts["history"]) == set(recorded["history"])
    for name, values in recorded["history"].items():
        np.testing.assert_array_equal(facts["history"][name], values)
    pd.testing.assert_series_equal(cells.obs["sims_split"], split)


def test_training_again_does_not_rename_the_columns_of_an_annotation(cells, small):
    """Probabilities go by the class names in `.uns`; a new model of other classes must not lend them its names."""
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    sims.tl.annotate(cells, model, **QUIET)
    cells.obs["other"] = cells.obs["cell_type"].cat.rename_categories(["x", "y", "z"])
    second = sims.tl.sims_train(cells, "other", max_epochs=2, **small)
    assert list(sims.get.prob_df(cells).columns) == ["type_0", "type_1", "type_2"]
    assert len(sims.get.mask_df(cells, n_genes=None)) > 0
    facts = cells.uns["sims"]
    assert facts["training_params"]["labels_key"] == "other"
    assert len(facts["history"]["epoch"]) == 2
    sims.tl.annotate(cells, second, **QUIET)
    assert list(sims.get.prob_df(cells).columns) == ["x", "y", "z"]


def test_no_random_stream_is_touched(cells, model):
    torch_state, numpy_state, python_state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    sims.tl.annotate(cells, model, **QUIET)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert random.getstate() == python_state


def test_it_is_silent_when_asked_and_shows_a_bar_otherwise(cells, model, capfd, recwarn):
    sims.tl.annotate(cells, model, progress_bar=False)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert [str(each.message) for each in recwarn] == []
    sims.tl.annotate(cells, model)
    assert "cell" in capfd.readouterr().err


def test_an_interrupt_leaves_the_object_as_it_was(cells, model, snapshot, changes):
    sizes: list[int] = []

    def interrupt(network: Any, args: tuple[Any, ...]) -> None:
        sizes.append(args[0].shape[0])
        if len(sizes) == 2:
            raise KeyboardInterrupt

    before = snapshot(cells)
    handle = model.module.network.register_forward_pre_hook(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            sims.tl.annotate(cells, model, batch_size=64, **QUIET)
    finally:
        handle.remove()
    assert sizes == [64, 64]
    assert changes(before, snapshot(cells)) == set()


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
def test_only_a_batch_of_cells_is_dense_at_a_time(cells, model, kind):
    cells.X = {"csr": cells.X, "csc": cells.X.tocsc(), "dense": cells.X.toarray()}[kind]
    sizes: list[int] = []
    handle = model.module.network.register_forward_pre_hook(lambda network, args: sizes.append(args[0].shape[0]))
    try:
        sims.tl.annotate(cells, model, batch_size=32, **QUIET)
    finally:
        handle.remove()
    assert max(sizes) <= 32
    assert sum(sizes) == 200
