"""Genes to train on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sims_tools.data._gene_choice import ClassSums, choose_genes


def cells(seed=0, n=60, p=30, n_classes=3):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 2.0, p), (n, p)).astype(np.float32)
    return counts, rng.permutation(np.arange(n) % n_classes)


def over(counts, codes, n_classes=3, size=13):
    totals = counts.sum(1)
    parts = (slice(start, start + size) for start in range(0, len(counts), size))
    blocks = ((sparse.csr_matrix(counts[part]), totals[part].astype(float)) for part in parts)
    return ClassSums.over(blocks, codes, n_classes, counts.shape[1])


def logs(counts):
    totals = counts.sum(1, keepdims=True)
    return np.log1p(counts / np.where(totals > 0, totals, 1) * 1e4)


@pytest.mark.parametrize("size", [1, 13, 100])
def test_variance_and_differences_are_those_of_the_dense_values(size):
    counts, codes = cells()
    x, found = logs(counts), over(counts, codes, size=size)
    np.testing.assert_allclose(found.variance(), x.var(0), rtol=1e-4, atol=1e-6)
    for c in range(3):
        inside, outside = x[codes == c], x[codes != c]
        error = np.sqrt(x.var(0) * (1 / len(inside) + 1 / len(outside)))
        expected = np.divide(inside.mean(0) - outside.mean(0), error, out=np.zeros(30), where=error > 0)
        np.testing.assert_allclose(found.higher()[c], expected, rtol=1e-3, atol=1e-3)


def test_a_class_without_cells_names_nothing():
    counts, codes = cells()
    found = over(counts, codes, n_classes=5)
    assert (found.higher()[3:] == 0).all()
    assert len(choose_genes(found, 10)) == 10
    assert (over(counts, np.zeros(60, int), n_classes=1).higher() == 0).all()


def test_a_marker_of_a_rare_class_is_chosen_where_variance_alone_leaves_it_out():
    rng = np.random.default_rng(0)
    counts = rng.poisson(5.0, (300, 50)).astype(np.float32)
    counts[:, 49] = 0
    codes = np.zeros(300, int)
    codes[:150], codes[295:] = 1, 2
    counts[codes == 2, 49] = 4
    found = over(counts, codes)
    assert 49 not in np.argsort(-found.variance())[:5]
    assert 49 in choose_genes(found, 10)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), n_top=st.integers(1, 40), n_classes=st.integers(1, 6))
def test_so_many_genes_in_stored_order_with_those_that_vary_most(seed, n_top, n_classes):
    counts, codes = cells(seed, n_classes=n_classes)
    found = over(counts, codes, n_classes=n_classes)
    chosen = choose_genes(found, n_top)
    assert len(chosen) == min(n_top, 30)
    assert (np.diff(chosen) > 0).all()
    assert set(np.argsort(-found.variance(), kind="stable")[: n_top - n_top // 2]) <= set(chosen)
