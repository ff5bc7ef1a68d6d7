"""The centred log-ratio against the formula, on arrays and sparse matrices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from sims_tools.data._clr import clr, clr_sizes


def by_formula(counts: np.ndarray) -> np.ndarray:
    """Seurat's `CLR` of one cell, written as it is there: zeros are left out of the sum, not of the length."""
    rows = [np.log1p(x / np.exp(np.log1p(x[x > 0]).sum() / len(x))) for x in counts.astype(float)]
    return np.array(rows)


@given(arrays(np.int64, (4, 6), elements=st.integers(0, 5000)))
def test_it_is_the_formula_on_any_storage(counts):
    expected = by_formula(counts)
    np.testing.assert_allclose(clr(counts), expected, rtol=1e-6)
    found = clr(sparse.csr_matrix(counts))
    assert sparse.issparse(found)
    assert found.dtype == clr(counts).dtype == np.float32
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)


def test_by_hand():
    counts = np.array([[0, 1, 3]])
    size = np.exp((np.log(2) + np.log(4)) / 3)
    assert size == pytest.approx(2.0)
    np.testing.assert_allclose(clr(counts), [[0, np.log(1.5), np.log(2.5)]], rtol=1e-6)
    np.testing.assert_allclose(clr_sizes(counts), [2.0])


def test_zeros_stay_zero_and_an_empty_cell_is_no_trouble():
    counts = sparse.csr_matrix(np.array([[0, 0, 0], [0, 7, 0]]))
    found = clr(counts)
    assert found.nnz == 1
    assert found.toarray()[0].sum() == 0
    assert counts.data.tolist() == [7]  # not changed


def test_it_does_not_mind_how_strongly_a_cell_is_stained():
    """That is what it is for: with many counts, a factor of the cell hardly matters."""
    counts = np.array([[2000.0, 100, 300, 50]])
    np.testing.assert_allclose(clr(10 * counts), clr(counts), rtol=0.02)


def test_cells_do_not_depend_on_each_other():
    counts = np.random.default_rng(0).poisson(5, (20, 7))
    np.testing.assert_array_equal(clr(counts)[3:5], clr(counts[3:5]))


def test_a_panel_of_other_proteins_is_another_centre():
    counts = np.array([[5, 10, 200]])
    assert (clr(counts)[:, :2] < clr(counts[:, :2])).all()


@pytest.mark.parametrize("shape", [(0, 3), (2, 0)])
def test_nothing_to_transform(shape):
    assert clr(np.zeros(shape)).shape == shape
    assert clr(sparse.csr_matrix(shape)).shape == shape
