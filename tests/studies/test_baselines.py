"""Baselines are scikit-learn's on log1p CP10K, fitted to training cells alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scanpy as sc
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from sims_tools.studies._baselines import BASELINES

USUAL = {"random_forest": {"n_estimators": 30}}
TRAIN, TEST = np.arange(0, 120), np.arange(120, 200)


@pytest.mark.parametrize("name", BASELINES)
def test_it_tells_planted_classes_apart(study_cells, name):
    options = USUAL.get(name, {})
    fitted = BASELINES[name](name, options).fit(study_cells, TRAIN, 0)
    found = fitted.predict(study_cells, TEST)
    assert found.prob.shape == (80, 3)
    np.testing.assert_allclose(found.prob.sum(1), 1, rtol=1e-6)
    assert (fitted.classes[found.called] == study_cells.names(TEST)).mean() > 0.9
    again = BASELINES[name](name, options).fit(study_cells, TRAIN, 0).predict(study_cells, TEST)
    np.testing.assert_array_equal(again.prob, found.prob)


def test_logistic_regression_is_what_its_users_run(cells, study_cells):
    sc.pp.normalize_total(cells, target_sum=1e4)
    sc.pp.log1p(cells)
    by_hand = LogisticRegression(C=0.1, max_iter=1000).fit(cells.X[TRAIN], cells.obs["cell_type"].iloc[TRAIN])
    fitted = BASELINES["logistic_regression"]("lr", {"C": 0.1}).fit(study_cells, TRAIN, 0)
    np.testing.assert_allclose(fitted.predict(study_cells, TEST).prob, by_hand.predict_proba(cells.X[TEST]), atol=1e-3)


@pytest.mark.parametrize("options", [{}, {"n_top_genes": 20, "scale": True}], ids=["usual", "chosen and scaled"])
@pytest.mark.parametrize("name", BASELINES)
def test_nothing_is_learned_from_cells_that_do_not_train(study_cells, name, options):
    """All other cells are made unlike any training cell: what was fitted must be the same to the bit."""
    values = study_cells.matrix.toarray()
    values[150:] = values[150:, ::-1] * 1000
    changed = replace(study_cells, matrix=sparse.csr_matrix(values), totals=values.sum(1))
    asked = np.arange(120, 150)
    first, second = (
        BASELINES[name](name, USUAL.get(name, {}) | options).fit(each, TRAIN, 0).predict(each, asked)
        for each in (study_cells, changed)
    )
    np.testing.assert_array_equal(first.prob, second.prob)


def test_genes_are_chosen_where_that_is_asked_for(study_cells):
    fitted = BASELINES["linear_svm"]("svm", {"n_top_genes": 20}).fit(study_cells, TRAIN, 0)
    assert fitted.model.n_features_in_ == 20


def test_neighbours_are_no_more_than_the_cells(study_cells):
    few = np.array([0, 1, 2, 3, 4, 5])
    found = BASELINES["knn"]("knn").fit(study_cells, few, 0).predict(study_cells, TEST)
    assert np.isfinite(found.prob).all()


def test_two_classes_have_two_columns(study_cells):
    rows = TRAIN[study_cells.labels.codes[TRAIN] < 2]
    fitted = BASELINES["linear_svm"]("svm").fit(study_cells, rows, 0)
    found = fitted.predict(study_cells, rows)
    assert list(fitted.classes) == ["type_0", "type_1"]
    assert found.prob.shape == (len(rows), 2)
    assert (fitted.classes[found.called] == study_cells.names(rows)).all()


def test_a_parameter_that_is_none_is_named():
    with pytest.raises(TypeError, match="Did you mean 'n_neighbors'"):
        BASELINES["knn"]("knn", {"n_neighbours": 3})
    with pytest.raises(TypeError, match="random_state"):
        BASELINES["knn"]("knn", {"random_state": 3})
