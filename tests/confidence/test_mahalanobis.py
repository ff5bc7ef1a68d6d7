"""Distance to class means, against its definition and scikit-learn's covariances."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import covariance

from sims_tools.confidence import Mahalanobis
from sims_tools.confidence._covariance import whitening


@pytest.mark.parametrize("shrinkage", [0.001, 0.1, 0.3, 1.0])
def test_whitening_inverts_the_shrunk_covariance(shrinkage):
    values = np.random.default_rng(8).normal(size=(40, 6)) * np.arange(1, 7)
    values -= values.mean(0)
    expected = covariance.shrunk_covariance(values.T @ values / 40, shrinkage)
    matrix = whitening(values, shrinkage)
    np.testing.assert_allclose(matrix @ matrix.T, np.linalg.inv(expected), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("shrinkage", [0.0, 0.1])
def test_directions_without_spread_count_as_a_little(shrinkage):
    """Or a step across the line of these two cells would be infinitely far."""
    matrix = whitening(np.array([[3.0, 4, 0], [-3, -4, 0]]), shrinkage)
    across, beside = (np.sum((np.array(step) @ matrix) ** 2) for step in ([4, -3, 0], [0, 0, 5]))
    assert [across, beside] == pytest.approx([25 / (max(shrinkage, 1e-3) * 25 / 3)] * 2)


def test_cells_that_are_all_alike_need_a_least_variance():
    np.testing.assert_allclose(whitening(np.zeros((4, 3)), 1.0, least_variance=4.0), np.eye(3) / 2)


def test_the_distance_by_definition(embedded, centres):
    rng = np.random.default_rng(9)
    embedding, codes = embedded(200, centres(3, 4, rng), rng)
    embedding = embedding.astype(float)
    means = np.stack([embedding[codes == code].mean(0) for code in range(3)])
    residuals = embedding - means[codes]
    within = covariance.shrunk_covariance(residuals.T @ residuals / 200, 0.1)
    overall = covariance.shrunk_covariance(np.cov(embedding.T, bias=True), 0.1)
    fresh = rng.normal(size=(20, 4)) * 5
    away = fresh[:, None] - means
    nearest = np.einsum("nki,ij,nkj->nk", away, np.linalg.inv(within), away).min(1)
    np.testing.assert_allclose(Mahalanobis.fit(embedding, codes, relative=False).score(fresh), nearest, rtol=1e-4)
    away = fresh - embedding.mean(0)
    background = np.einsum("ni,ij,nj->n", away, np.linalg.inv(overall), away)
    relative = Mahalanobis.fit(embedding, codes)
    np.testing.assert_allclose(relative.score(fresh), nearest - background, rtol=1e-4, atol=1e-3)


def test_spread_is_taken_into_account():
    """A step along which known cells never differ is more novel than a longer one along which they do."""
    rng = np.random.default_rng(10)
    embedding = rng.normal(size=(500, 2)) * [5, 0.1]
    found = Mahalanobis.fit(embedding, np.zeros(500, int), relative=False, shrinkage=0)
    across, along = found.score(np.array([[0, 1.0], [5, 0]]))
    assert across > 10 * along
    round_ = Mahalanobis.fit(embedding, np.zeros(500, int), relative=False, shrinkage=1)
    across, along = round_.score(np.array([[0, 1.0], [5, 0]]))
    assert across < along
    for wrong in (2, -0.1):
        with pytest.raises(ValueError, match=f"`shrinkage={wrong}` must be a share between 0 and 1"):
            Mahalanobis.fit(embedding, np.zeros(500, int), shrinkage=wrong)


def test_a_cell_out_of_this_world_is_novel_and_no_error():
    embedding, codes = np.random.default_rng(11).normal(size=(50, 3)), np.arange(50) % 2
    for relative in (False, True):
        found = Mahalanobis.fit(embedding, codes, relative=relative)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            score = found.score(np.array([[1e30, -1e30, 0.0]]))[0]
        assert np.isfinite(score)
        assert abs(score) > 1e30
