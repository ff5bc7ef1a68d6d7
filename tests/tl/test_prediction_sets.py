"""How sure annotations are: calibrated probabilities, what comes second, prediction sets."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse

import sims_tools as sims
from sims_tools.confidence import negative_log_likelihood, softmax

QUIET = {"progress_bar": False}


@pytest.fixture(scope="module")
def cells():
    return sims.data.planted_cells(n_cells=5000, n_genes=60, n_classes=4, fold=3, random_state=3)


@pytest.fixture(scope="module")
def model(cells):
    options = {"max_epochs": 15, "validation_size": 0.5, "random_state": 0, "n_d": 8, "n_a": 8, "n_members": 1}
    return sims.tl.sims_train(cells[:2000].copy(), "cell_type", accelerator="cpu", **options, **QUIET)


@pytest.fixture
def query(cells):
    return cells[2000:].copy()


def truth(adata, model):
    return np.searchsorted(model.classes.astype(str), adata.obs["cell_type"].astype(str))


def test_probabilities_are_calibrated_on_cells_that_were_held_out(query, model):
    sims.tl.annotate(query, model, **QUIET)
    fitted = model.confidence_.temperature
    assert abs(fitted.n_cells - 1000) <= 4
    assert fitted.nll_after <= fitted.nll_before
    logits = np.concatenate([each.logits for each in model.infer(query)])
    np.testing.assert_allclose(query.obsm["sims_prob"], softmax(logits / fitted.value), atol=1e-6)
    np.testing.assert_allclose(model.predict(query, soft=True), query.obsm["sims_prob"], atol=1e-6)
    codes = truth(query, model)
    assert (
        negative_log_likelihood(query.obsm["sims_prob"], codes) < negative_log_likelihood(softmax(logits), codes) + 0.02
    )


def test_what_comes_second_and_by_how_much(query, model):
    sims.tl.annotate(query, model, top_k=2, **QUIET)
    prob = np.sort(query.obsm["sims_prob"], axis=1)
    np.testing.assert_allclose(query.obs["sims_margin"], prob[:, -1] - prob[:, -2], atol=1e-6)
    assert (query.obs["sims_second"].astype(str) == query.obs["sims_top2"].astype(str)).all()
    assert list(query.obs["sims_second"].cat.categories) == list(model.classes)


@pytest.mark.parametrize("class_conditional", [False, True])
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_sets_hold_the_true_class_as_often_as_promised(query, model, alpha, class_conditional):
    sims.tl.annotate(query, model, prediction_sets=alpha, class_conditional=class_conditional, **QUIET)
    sets = query.obsm["sims_sets"]
    assert sparse.issparse(sets)
    assert sets.format == "csr"
    assert sets.dtype == bool
    assert sets.shape == (query.n_obs, len(model.classes))
    np.testing.assert_array_equal(
        query.obs["sims_set_size"], sets.sum(1).A1 if hasattr(sets.sum(1), "A1") else sets.sum(1)
    )
    assert (query.obs["sims_set_size"] >= 1).all()
    codes = truth(query, model)
    held = np.asarray(sets.todense())[np.arange(len(codes)), codes]
    assert held.mean() >= 1 - alpha - 0.04
    if class_conditional:
        assert min(held[codes == code].mean() for code in set(codes)) >= 1 - alpha - 0.09
    assert query.uns["sims"]["params"]["prediction_sets"] == alpha


def test_sets_shrink_as_less_is_promised_and_hold_the_call(query, model):
    sizes = []
    for alpha in (0.02, 0.1, 0.3):
        sims.tl.annotate(query, model, prediction_sets=alpha, **QUIET)
        sizes.append(query.obs["sims_set_size"].to_numpy())
        called = query.obsm["sims_prob"].argmax(1)
        assert np.asarray(query.obsm["sims_sets"].todense())[np.arange(query.n_obs), called].all()
    assert (sizes[0] >= sizes[1]).all()
    assert (sizes[1] >= sizes[2]).all()
    assert sizes[0].sum() > sizes[2].sum()


def test_a_cell_without_counts_may_be_anything(query, model):
    query.X = sparse.csr_matrix(query.X)
    query.X[0] = 0
    query.X.eliminate_zeros()
    sims.tl.annotate(query, model, prediction_sets=0.1, **QUIET)
    assert query.obs["sims_set_size"].iloc[0] == len(model.classes)
    assert query.obs["sims_second"].isna().iloc[0]
    assert query.obs["sims_margin"].iloc[0] == 0


def test_saved_models_keep_their_confidence(query, model, tmp_path):
    model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    first = sims.tl.annotate(query, model, prediction_sets=0.1, copy=True, **QUIET)
    second = sims.tl.annotate(query, loaded, prediction_sets=0.1, copy=True, **QUIET)
    np.testing.assert_array_equal(first.obsm["sims_prob"], second.obsm["sims_prob"])
    assert (first.obsm["sims_sets"] != second.obsm["sims_sets"]).nnz == 0
    assert loaded.confidence_.temperature == model.confidence_.temperature


def test_few_validation_cells_are_warned_of(cells):
    few = cells[:60].copy()
    model = sims.tl.sims_train(few, "cell_type", max_epochs=2, n_d=4, n_a=4, accelerator="cpu", **QUIET)
    with pytest.warns(UserWarning, match=r"Fewer than 99 validation cells.*type_0.*every class is in every set"):
        sims.tl.annotate(few, model, prediction_sets=0.01, **QUIET)
    assert (few.obs["sims_set_size"] == 4).all()
    with pytest.warns(UserWarning, match=r"Fewer than 4 validation cells.*they are in every set"):
        sims.tl.annotate(few, model, prediction_sets=0.2, class_conditional=True, **QUIET)


def test_without_validation_cells_nothing_is_calibrated_and_no_set_is_promised(cells):
    few = cells[:200].copy()
    options = {"max_epochs": 2, "validation_size": 0.0, "n_d": 4, "n_a": 4, "accelerator": "cpu"}
    model = sims.tl.sims_train(few, "cell_type", **options, **QUIET)
    assert model.confidence_.temperature.value == 1
    before = set(few.obs)
    with pytest.raises(ValueError, match="validation_size"):
        sims.tl.annotate(few, model, prediction_sets=0.1, **QUIET)
    assert set(few.obs) == before
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sims.tl.annotate(few, model, **QUIET)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"prediction_sets": 0}, "prediction_sets"),
        ({"prediction_sets": 1}, "between 0 and 1"),
        ({"prediction_sets": 0.1, "classes": ["type_0"]}, "all classes"),
        ({"class_conditional": True}, "prediction_sets=0.1"),
    ],
)
def test_what_cannot_be_promised_is_refused(query, model, options, what):
    with pytest.raises(ValueError, match=what):
        sims.tl.annotate(query, model, **options, **QUIET)
    assert "sims" not in query.obs
