"""Principal components against numpy's decomposition, and without some of the genes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sims_tools.confidence._components import PrincipalComponents, unit_rows
from sims_tools.confidence._covariance import whitening, with_more_spread


def profiles(n: int = 300, p: int = 80, rank: int = 5, seed: int = 0) -> sparse.csr_matrix:
    """Non-negative rows that a few directions explain well, a third of them zero."""
    rng = np.random.default_rng(seed)
    values = rng.gamma(2, size=(n, rank)) @ rng.gamma(1, size=(rank, p)) + rng.normal(size=(n, p)) * 0.5
    return sparse.csr_matrix(np.maximum(values - np.quantile(values, 0.3), 0), dtype=np.float32)


def test_rows_have_length_one_and_those_of_zeros_stay():
    rows = profiles()
    rows[3] = 0
    lengths = np.linalg.norm(unit_rows(rows).toarray(), axis=1)
    np.testing.assert_allclose(np.delete(lengths, 3), 1, rtol=1e-6)
    assert lengths[3] == 0
    np.testing.assert_allclose(np.linalg.norm(unit_rows(rows, 0.5).toarray(), axis=1)[0], 0.5, rtol=1e-6)


def test_components_are_those_of_a_full_decomposition():
    rows = profiles()
    unit = unit_rows(rows).toarray().astype(float)
    centred = unit - unit.mean(0)
    values, axes = np.linalg.svd(centred, full_matrices=False)[1:]
    found = PrincipalComponents.fit(rows, 4)
    np.testing.assert_allclose(np.abs(axes[:4] @ found.loadings), np.eye(4), atol=1e-4)
    np.testing.assert_allclose(found.variances, values[:4] ** 2 / 300, rtol=1e-4)
    np.testing.assert_allclose(found.project(rows), centred @ found.loadings, atol=1e-5)
    np.testing.assert_allclose(found.residuals, (centred - centred @ axes[:4].T @ axes[:4]).var(0), atol=1e-6)
    np.testing.assert_allclose(found.squares.sum(), 1, rtol=1e-5)


def test_depth_does_not_matter():
    rows = profiles()
    found = PrincipalComponents.fit(rows, 4)
    np.testing.assert_allclose(found.project(rows * 7), found.project(rows), atol=1e-5)


@pytest.mark.parametrize(("n", "p"), [(2, 5), (1, 5), (40, 3), (5, 1), (10, 10)])
def test_as_many_components_as_there_can_be(n, p):
    found = PrincipalComponents.fit(profiles(n, p), 50)
    assert found.loadings.shape == (p, max(min(n - 1, p), 1))
    assert np.isfinite(found.project(profiles(n, p))).all()


def test_the_same_cells_give_the_same_bits():
    first, second = (PrincipalComponents.fit(profiles(), 6) for _ in range(2))
    for name, value in vars(first).items():
        np.testing.assert_array_equal(value, getattr(second, name))


@pytest.mark.parametrize("share", [0.2, 0.5])
def test_without_some_genes_cells_stay_where_they_are(share):
    """But for noise of the size that is told; taking what is missing for zero moves them away."""
    rows = profiles(n=1000, p=200)
    missing = np.random.default_rng(1).random(200) < share
    there = sparse.csr_matrix(rows.multiply(~missing[None, :]))
    full = PrincipalComponents.fit(rows, 5)
    part, gained = full.without(missing)
    error = part.project(there) - full.project(rows)
    naive = full.project(there) - full.project(rows)
    assert np.sqrt((error**2).mean()) < 0.35 * np.sqrt((naive**2).mean())
    assert not part.loadings[missing].any()
    assert part.length < 1
    np.testing.assert_array_less(-1e-12, np.linalg.eigvalsh(gained))
    spread = (error - error.mean(0)).var(0)
    assert 0.2 < np.median(np.diag(gained) / spread) < 2


def test_with_nothing_missing_nothing_changes_much():
    rows = profiles()
    full = PrincipalComponents.fit(rows, 4)
    part, gained = full.without(np.zeros(80, dtype=bool))
    assert np.corrcoef(part.project(rows).ravel(), full.project(rows).ravel())[0, 1] > 0.999
    assert np.trace(gained) < 0.02 * full.variances.sum()


def test_with_everything_missing_nothing_is_infinite():
    full = PrincipalComponents.fit(profiles(), 4)
    part, gained = full.without(np.ones(80, dtype=bool))
    assert np.isfinite(part.project(sparse.csr_matrix((3, 80), dtype=np.float32))).all()
    assert np.isfinite(gained).all()


def test_more_spread_is_added_to_the_covariance():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(100, 4)) * [1, 2, 3, 4]
    before = whitening(values, 0.1)
    gained = np.diag([1.0, 0.0, 5.0, 0.0])
    after = with_more_spread(before, gained)
    covariance = np.linalg.inv(before @ before.T) + gained
    np.testing.assert_allclose(after @ after.T @ covariance, np.eye(4), atol=1e-9)
