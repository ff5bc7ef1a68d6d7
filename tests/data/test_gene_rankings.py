"""Rankings of genes on planted cells, where it is known which ones mark a class."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from sims_tools.data import _gene_rankings as rankings
from sims_tools.data import planted_cells
from sims_tools.data._mask_stats import group_means
from sims_tools.data._moments import log_cp10k


@pytest.fixture(scope="module", params=[2, 3])
def made(request: pytest.FixtureRequest) -> tuple[sparse.csr_matrix, np.ndarray, list[set[int]]]:
    """log1p CP10K, classes, and the columns of each class's markers."""
    cells = planted_cells(n_cells=200, n_genes=60, n_classes=request.param)
    values = log_cp10k(cells.X, np.asarray(cells.X.sum(axis=1)).ravel())
    names = cells.obs["cell_type"].cat.categories
    markers = [set(np.flatnonzero(cells.var["marker_of"] == name)) for name in names]
    return values, cells.obs["cell_type"].cat.codes.to_numpy().astype(np.intp), markers


def test_tests_and_regression_find_the_markers(made):
    values, codes, markers = made
    genes = np.arange(60)
    tested = rankings.differential_expression(values, codes)
    for ranking in (rankings.rank_differential(tested, genes, 5), rankings.rank_logistic(values, codes, genes, 5)):
        assert ranking.shape == (len(markers), 5)
        for row, known in zip(ranking, markers, strict=True):
            assert len(set(row) & known) >= 4


def test_differential_expression_is_scanpys_and_changes_nothing(made):
    values, codes, _ = made
    before = values.copy()
    tested = rankings.differential_expression(values, codes)
    assert (values != before).nnz == 0
    theirs = ad.AnnData(values.copy(), uns={"log1p": {"base": None}})
    theirs.obs["group"] = np.array([f"g{code}" for code in codes])
    theirs.obs["group"] = theirs.obs["group"].astype("category")
    sc.tl.rank_genes_groups(theirs, "group", method="wilcoxon", tie_correct=True)
    for code, table in enumerate(tested):
        frame = sc.get.rank_genes_groups_df(theirs, f"g{code}")
        assert table["gene"].tolist() == [int(name) for name in frame["names"]]
        np.testing.assert_allclose(table["scores"], frame["scores"])


def test_only_the_genes_that_may_be_chosen(made):
    values, codes, _ = made
    genes = np.array([3, 5, 8, 13])
    tested = rankings.differential_expression(values, codes)
    n_classes = len(tested)
    means = group_means(values, codes, n_classes)
    rng = np.random.default_rng(0)
    for ranking in (
        rankings.rank_differential(tested, genes, 6),
        rankings.rank_logistic(values, codes, genes, 6),
        rankings.rank_by_weight(means, genes, 6),
        rankings.rank_random(n_classes, genes, 6, rng),
    ):
        assert ranking.shape == (n_classes, 6)
        assert (ranking[:, 4:] == -1).all()
        assert all(sorted(row) == genes.tolist() for row in ranking[:, :4])


def test_logistic_regression_of_two_classes_and_more(made):
    values, codes, markers = made
    fitted = LogisticRegression(C=1.0, max_iter=500).fit(values, codes).coef_
    fitted = np.vstack([-fitted[0], fitted[0]]) if len(markers) == 2 else fitted
    ranking = rankings.rank_logistic(values, codes, np.arange(60), 10)
    np.testing.assert_array_equal(ranking, np.argsort(-fitted, axis=1)[:, :10])


def test_genes_without_weight_are_not_ranked():
    ranking = rankings.rank_by_weight(np.array([[0, 0.3, 0.7, 0], [0.1, 0.1, 0.1, 0.7]]), np.array([0, 2, 3]), 3)
    assert ranking.tolist() == [[2, -1, -1], [3, 0, 2]]


def test_random_genes_go_by_the_generator():
    one, other = (rankings.rank_random(3, np.arange(50), 20, np.random.default_rng(0)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert all(len(set(row)) == 20 for row in one)
    assert not (one[0] == one[1]).all()


def test_matched_genes_are_others_of_like_expression():
    rng = np.random.default_rng(0)
    means = np.tile(np.arange(400.0), (2, 1))
    wanted = np.array([[10, 200, 201, 202, 399], [0, 50, 100, -1, -1]])
    for _ in range(20):
        drawn = rankings.rank_matched(wanted, means, np.arange(400), rng)
        assert ((drawn >= 0) == (wanted >= 0)).all()
        assert (np.abs(drawn - wanted)[wanted >= 0] <= 15).all()
        for row, ranked in zip(drawn, wanted, strict=True):
            row, ranked = row[row >= 0], ranked[ranked >= 0]
            assert len(set(row)) == len(row)
            assert not set(row) & set(ranked)


def test_matched_genes_run_out():
    drawn = rankings.rank_matched(np.array([[0, 1, 2]]), np.zeros((1, 5)), np.arange(5), np.random.default_rng(0))
    assert sorted(drawn[0, :2]) == [3, 4]
    assert drawn[0, 2] == -1
