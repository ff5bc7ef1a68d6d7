"""Genes to train on."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from sims_tools.data._class_sums import ClassSums, with_classes
from sims_tools.data._gene_choice import GeneChoice, choose_genes, variance_and_class


def cells(seed=0, n=60, p=30, n_classes=3):
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(0.5, 2.0, p), (n, p)).astype(np.float32)
    return counts, rng.permutation(np.arange(n) % n_classes)


def over(counts, codes, n_classes=3, size=13):
    totals = counts.sum(1)
    parts = (slice(start, start + size) for start in range(0, len(counts), size))
    blocks = ((sparse.csr_matrix(counts[part]), totals[part].astype(float)) for part in parts)
    return ClassSums.over(with_classes(blocks, codes), n_classes, counts.shape[1])


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
    assert len(variance_and_class(found, 10)) == 10
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
    assert 49 in variance_and_class(found, 10)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), n_top=st.integers(1, 40), n_classes=st.integers(1, 6))
def test_so_many_genes_in_stored_order_with_those_that_vary_most(seed, n_top, n_classes):
    counts, codes = cells(seed, n_classes=n_classes)
    found = over(counts, codes, n_classes=n_classes)
    chosen = variance_and_class(found, n_top)
    assert len(chosen) == min(n_top, 30)
    assert (np.diff(chosen) > 0).all()
    assert set(np.argsort(-found.variance(), kind="stable")[: n_top - n_top // 2]) <= set(chosen)


# --- other ways -------------------------------------------------------------------------------------------------------


def blocks_of(counts, size=17):
    totals = counts.sum(1).astype(float)
    for start in range(0, len(counts), size):
        yield sparse.csr_matrix(counts[start : start + size]), totals[start : start + size]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_top", [1, 40, 199])
def test_highly_variable_genes_are_those_of_scanpy(seed, n_top):
    import anndata as ad
    import scanpy as sc

    counts, codes = cells(seed, n=120, p=200)
    counts[:, 7] = 0
    adata = ad.AnnData(sparse.csr_matrix(counts))
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where fewer genes vary
        sc.pp.highly_variable_genes(adata, flavor="seurat", n_top_genes=n_top)
    choice = GeneChoice("highly_variable", n_top)
    chosen, variance = choose_genes(choice, with_classes(blocks_of(counts), codes), 3, 200)
    np.testing.assert_array_equal(chosen, np.flatnonzero(adata.var["highly_variable"]))
    assert variance is None


def test_genes_that_do_not_vary_are_not_chosen():
    counts, codes = cells(n=60, p=30)
    counts[:, [3, 5]] = 0
    chosen, _ = choose_genes(GeneChoice("highly_variable", 29), with_classes(blocks_of(counts), codes), 3, 30)
    assert set(range(30)) - set(chosen) == set(np.flatnonzero(counts.sum(0) == 0)) >= {3, 5}
    with pytest.raises(ValueError, match="No gene is left to train on: none varies"):
        choose_genes(GeneChoice("highly_variable", 29), with_classes(blocks_of(counts * 0), codes), 3, 30)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999))
def test_percentiles_leave_what_the_published_filter_leaves(seed):
    counts, codes = cells(seed, n=80, p=300)
    counts = counts[:, counts.sum(0) > 0]
    n_genes = counts.shape[1]
    chosen, variance = choose_genes(
        GeneChoice("expression_percentiles"), with_classes(blocks_of(counts), codes), 3, n_genes
    )
    shares = counts.astype(float) / np.maximum(counts.sum(1, keepdims=True), 1)
    x, names = np.log2(shares * 1e4 + 1).T, np.arange(n_genes)  # genes x cells, as the tutorial has it
    at_a_limit: set[int] = set()
    for score in (lambda genes: genes.sum(1), lambda genes: genes.std(1) / genes.mean(1)):
        values = score(x)
        low, high = np.percentile(values, [1, 99])
        close = np.isclose(values, low, rtol=1e-4) | np.isclose(values, high, rtol=1e-4)
        at_a_limit |= set(names[close])  # genes of one cell have equal coefficients but for rounding
        kept = (values >= low) & (values <= high)
        x, names = x[kept], names[kept]
    assert set(chosen) ^ set(names) <= at_a_limit
    assert variance.shape == (n_genes,)
    assert n_genes - len(chosen) <= 16


def test_genes_that_are_equal_but_for_rounding_stay_or_go_together():
    rng = np.random.default_rng(0)
    counts = rng.poisson(3.0, (50, 100)).astype(np.float32)
    counts[:, :20] = 0
    counts[rng.permutation(50)[:20], np.arange(20)] = 2  # each in one cell: the same coefficient of variation
    chosen, _ = choose_genes(
        GeneChoice("expression_percentiles"), with_classes(blocks_of(counts), np.zeros(50, int)), 1, 100
    )
    assert len(set(range(20)) - set(chosen)) <= 1  # the one of least expression


def test_percentiles_never_keep_a_silent_gene():
    counts, codes = cells(n=80, p=100)
    counts[:, :50] = 0
    chosen, _ = choose_genes(GeneChoice("expression_percentiles"), with_classes(blocks_of(counts), codes), 3, 100)
    assert chosen.min() >= 50
    with pytest.raises(ValueError, match="No gene is left"):
        choose_genes(GeneChoice("expression_percentiles"), with_classes(blocks_of(counts * 0), codes), 3, 100)


def test_detected_genes_have_counts_in_three_cells():
    counts = np.zeros((20, 4), np.float32)
    counts[:2, 1], counts[:3, 2], counts[:, 3] = 5, 1, 1
    chosen, variance = choose_genes(GeneChoice("detected"), with_classes(blocks_of(counts), np.zeros(20, int)), 1, 4)
    assert (chosen.tolist(), variance) == ([2, 3], None)
    with pytest.raises(ValueError, match="none was detected in 3"):
        choose_genes(GeneChoice("detected"), with_classes(blocks_of(counts * 0), np.zeros(20, int)), 1, 4)


@pytest.mark.parametrize(
    "choice", [GeneChoice("all"), GeneChoice("highly_variable"), GeneChoice("highly_variable", 30)]
)
def test_all_genes_are_taken_without_reading_a_cell(choice):
    assert choose_genes(choice, iter(()), 1, 30) is None


@pytest.mark.parametrize(
    ("way", "n_top", "message"),
    [
        ("variance", None, r"gene_choice='variance'` is not one of .*variance_and_class"),
        ("highly_variable", 0, "positive whole number"),
        ("highly_variable", True, "positive whole number"),
        ("detected", 100, "ranks no genes; choose 'variance_and_class' or 'highly_variable'"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(way, n_top, message):
    with pytest.raises(ValueError, match=message):
        GeneChoice(way, n_top)
