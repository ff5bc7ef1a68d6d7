"""Mean and variance on the model's scale against numpy; order of the most variable genes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from sims_tools.data._moments import gene_moments, log_cp10k


def in_blocks(values: np.ndarray, size: int):
    for start in range(0, len(values), size):
        part = values[start : start + size]
        yield sparse.csr_matrix(part), part.sum(1).astype(np.float64)


def expected(values: np.ndarray) -> np.ndarray:
    totals = values.sum(1, keepdims=True, dtype=np.float64)
    return np.log1p(values / np.where(totals > 0, totals, 1) * 1e4)


@pytest.mark.parametrize("size", [1, 7, 53])
def test_moments_are_numpys(counts, size):
    mean, variance = gene_moments(in_blocks(counts, size), counts.shape[1])
    np.testing.assert_allclose(mean, expected(counts).mean(0), rtol=1e-5)
    np.testing.assert_allclose(variance, expected(counts).var(0), rtol=1e-4)
    assert mean.dtype == variance.dtype == np.float64
    assert variance[3] == 0  # the silent gene


@settings(derandomize=True)
@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1000)))
def test_moments_of_any_counts(values):
    mean, variance = gene_moments(in_blocks(values, 5), values.shape[1])
    np.testing.assert_allclose(mean, expected(values).mean(0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(variance, expected(values).var(0), rtol=1e-3, atol=1e-5)


def test_moments_of_nothing_are_zero():
    mean, variance = gene_moments([], 4)
    np.testing.assert_array_equal(mean, np.zeros(4))
    np.testing.assert_array_equal(variance, np.zeros(4))


def test_log_cp10k_leaves_its_input_and_takes_totals_of_all_genes(counts):
    block = sparse.csr_matrix(counts)
    block.data.flags.writeable = False
    totals = counts.sum(1) * 2.0  # as if half of the genes had been left out
    result = log_cp10k(block, totals)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result.toarray()[0], np.log1p(counts[0] / totals[0] * 1e4), rtol=1e-6)
    assert (result.toarray()[7] == 0).all()  # the empty cell
    np.testing.assert_array_equal(block.toarray(), counts)
