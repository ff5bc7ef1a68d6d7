"""The centred log ratio of proteins."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import sparse

from sims_tools.data._clr import clr


def by_hand(cell: list[float]) -> list[float]:
    """One cell after Seurat's formula: the sum is over what is not zero, its divisor counts every protein."""
    centre = sum(np.log1p(x) for x in cell if x > 0) / len(cell)
    return [float(np.log1p(x / np.exp(centre))) for x in cell]


def test_a_cell_worked_out():
    """Counts 0, 1, 3: mean of log1p is ln(8) / 3 = ln(2), so each count is halved: log1p of 0, 0.5, 1.5."""
    np.testing.assert_allclose(clr(np.array([[0, 1, 3]])), [np.log([1.0, 1.5, 2.5])], rtol=1e-6)


COUNTS = arrays(np.int64, array_shapes(min_dims=2, max_dims=2, max_side=6), elements=st.integers(0, 10_000))


@given(COUNTS)
def test_every_cell_follows_the_formula_in_both_storages(counts):
    expected = np.array([by_hand(cell) for cell in counts.tolist()])
    stored = sparse.csr_matrix(counts)
    before = stored.copy()
    found = clr(stored)
    assert sparse.issparse(found)
    assert found.dtype == clr(counts).dtype == np.float32
    np.testing.assert_allclose(clr(counts), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(clr(counts) == 0, counts == 0)
    assert (stored != before).nnz == 0


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
