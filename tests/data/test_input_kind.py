"""What values are told to be, and that all of them lead to the same scale."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import scanpy as sc
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import sims_tools as sims
from sims_tools.data._blocks import iter_blocks
from sims_tools.data._kind import InputKind, classify, resolve_kind
from sims_tools.data._moments import log_cp10k


def draw_counts(n_cells: int = 40, n_genes: int = 60, depth: float = 3.0, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    rates = rng.lognormal(0, 1, n_genes) * depth * rng.lognormal(0, 0.4, (n_cells, 1))
    values = rng.poisson(rates)
    values[:, 0] += 1  # no empty cell
    return values.astype(np.float32)


def normalised(values: np.ndarray, target: float) -> np.ndarray:
    return (values / values.sum(1, keepdims=True, dtype=np.float64) * target).astype(np.float32)


def kind_of(values: np.ndarray) -> InputKind:
    return classify(sparse.csr_matrix(values))


def on_model_scale(kind: InputKind, values: np.ndarray) -> np.ndarray:
    return log_cp10k(*kind.to_linear(sparse.csr_matrix(values))).toarray()


COUNTS = draw_counts()


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int64", "float32", "float64"])
def test_whole_numbers_are_counts(name_cells, dtype):
    adata = name_cells(np.minimum(COUNTS, 200).astype(dtype))
    assert resolve_kind(adata, None) == InputKind("counts")


@pytest.mark.parametrize("values", [np.zeros((4, 3)), np.zeros((1, 1)), np.array([[5.0]])])
def test_degenerate_matrices_are_counts(values):
    assert kind_of(values.astype(np.float32)).scale == "counts"


@pytest.mark.parametrize("depth", [0.05, 3.0, 500.0])
def test_counts_recovered_from_logs_are_counts(depth):
    values = np.expm1(np.log1p(draw_counts(depth=depth))).astype(np.float32)
    values[0, 0] = 3.0000001
    assert kind_of(values).scale == "counts"
    assert kind_of(values + 0.01).scale != "counts"


@pytest.mark.parametrize("target", [200.0, 2345.6, 1e4, 1e6])
@pytest.mark.parametrize("n_cells", [2, 3, 40])
def test_normalised_values_are_linear_and_their_logs_log1p(target, n_cells):
    values = normalised(COUNTS[:n_cells], target)
    assert kind_of(values) == InputKind("linear")
    logged = kind_of(np.log1p(values))
    assert logged.scale == "log1p"
    assert logged.total == pytest.approx(target, rel=1e-4)


@pytest.mark.parametrize("n_cells", [1, 2, 40])
@pytest.mark.parametrize("target", [60.0, 1e4])
def test_whole_ratios_tell_logs_where_totals_do_not(n_cells, target):
    # half of the genes went after normalising, so that totals vary; with a target of 60 no value is large
    values = normalised(COUNTS[:n_cells], target)[:, :30]
    assert kind_of(values).scale == "linear"
    assert kind_of(np.log1p(values)).scale == "log1p"


def test_values_of_no_regular_kind_are_taken_for_logs():
    values = np.random.default_rng(0).gamma(1.0, 1.0, (40, 30)).astype(np.float32)
    assert kind_of(values) == InputKind("log1p")


def test_two_like_cells_are_not_taken_for_normalised():
    # a cell and its like: their logs, too, have nearly the same total
    cell = normalised(COUNTS[:1], 1e4)
    like = cell.copy()
    like[0, 5:8] = cell[0, [6, 7, 5]]
    pair = np.log1p(np.vstack([cell, like]))
    assert kind_of(pair).scale == "log1p"
    assert kind_of(pair).total == pytest.approx(1e4, rel=1e-4)


def test_log1p_of_a_gene_subset_is_taken_for_cp10k(caplog):
    adata = sc.datasets.pbmc68k_reduced().raw.to_adata()
    with caplog.at_level(logging.INFO, "sims_tools"):
        kind = resolve_kind(adata, None)
    assert kind == InputKind("log1p")
    assert "taken as normalised to 1e+04" in caplog.text
    block = sparse.csr_matrix(adata.X)
    np.testing.assert_allclose(on_model_scale(kind, block), block.toarray(), rtol=1e-5)


def test_log1p_of_a_gene_subset_of_a_million_is_taken_for_that():
    kind = kind_of(np.log1p(normalised(COUNTS, 1e6))[:, :30])
    assert kind.scale == "log1p"
    np.testing.assert_allclose(
        on_model_scale(kind, np.log1p(normalised(COUNTS, 1e6))[:, :30]),
        np.log1p(normalised(COUNTS, 1e4))[:, :30],
        rtol=1e-4,
    )


def test_a_cell_without_counts_has_no_total():
    values = np.log1p(normalised(COUNTS, 1e4))
    values[3] = 0
    for kind in (InputKind("log1p"), InputKind("log1p", 1e4), InputKind("counts"), InputKind("linear")):
        linear, totals = kind.to_linear(sparse.csr_matrix(values))
        assert totals[3] == 0
        assert (np.delete(totals, 3) > 0).all()
        assert np.isfinite(log_cp10k(linear, totals).data).all()
    assert kind_of(values).total == pytest.approx(1e4, rel=1e-4)


def test_scaled_values_are_refused_with_the_ways_out():
    adata = sc.datasets.pbmc68k_reduced()
    assert sims.pp.input_kind(adata) == "scaled"
    with pytest.raises(ValueError, match=r"negative values \(down to -.*scaled.*`layer=`.*adata\.raw\.to_adata\(\)"):
        resolve_kind(adata, None)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_inf_are_refused(name_cells, bad):
    values = COUNTS.copy()
    values[3, 4] = bad
    for matrix in (values, sparse.csr_matrix(values), sparse.csc_matrix(values)):
        with pytest.raises(ValueError, match=r"NaN or infinite values \(1 in.*Raw counts are expected"):
            resolve_kind(name_cells(matrix), None)
    assert kind_of(values).scale == "invalid"


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_what_the_sample_missed_is_found_when_it_is_read(name_cells, bad):
    values = np.tile(COUNTS, (60, 1))
    values[300, 5] = bad  # between the rows that are sampled
    adata = name_cells(sparse.csr_matrix(values))
    kind = resolve_kind(adata, None)
    linear = (kind.to_linear(block) for _, block in iter_blocks(adata, None, 100))
    for _ in range(3):
        next(linear)
    with pytest.raises(ValueError, match="negative values" if bad == -1 else "NaN or infinite"):
        next(linear)


def test_input_kind_overrules(name_cells, caplog):
    counts, logged = name_cells(COUNTS), name_cells(np.log1p(normalised(COUNTS, 1e4)))
    assert resolve_kind(logged, None, "counts") == InputKind("linear")
    assert resolve_kind(counts, None, "counts") == InputKind("counts")
    assert resolve_kind(logged, None, "log1p").total == pytest.approx(1e4, rel=1e-4)
    few = name_cells(np.minimum(COUNTS, 5))
    assert resolve_kind(few, None, "log1p") == InputKind("log1p")
    with pytest.raises(ValueError, match=r"`input_kind='log'` is not one of .*'log1p'.*Did you mean"):
        resolve_kind(counts, None, "log")


def test_values_too_large_for_logs_are_refused(name_cells):
    with pytest.raises(ValueError, match='up to .* too large for log1p.*input_kind="counts"'):
        resolve_kind(name_cells(COUNTS * 10), None, "log1p")
    with pytest.raises(ValueError, match="too large for log1p"):
        InputKind("log1p", 1e4).to_linear(sparse.csr_matrix([[1.5, 90.0]], dtype=np.float32))


def test_layers_are_looked_at(name_cells):
    adata = name_cells(COUNTS - 5)
    adata.layers["counts"] = sparse.csc_matrix(COUNTS)
    assert resolve_kind(adata, "counts").scale == "counts"
    with pytest.raises(KeyError, match="'count'"):
        resolve_kind(adata, "count")


def test_the_block_is_left_alone():
    for values in (COUNTS, np.log1p(normalised(COUNTS, 1e4))):
        block = sparse.csr_matrix(values)
        block.data.flags.writeable = False
        kind = classify(block)
        kind.to_linear(block)
        np.testing.assert_array_equal(block.toarray(), values)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_cells=st.integers(2, 30),
    n_genes=st.integers(5, 60),
    depth=st.floats(0.5, 200),
    target=st.sampled_from([500.0, 1234.5, 1e4, 1e5, 1e6]),
)
def test_counts_and_what_is_made_of_them_meet_on_one_scale(seed, n_cells, n_genes, depth, target):
    counts = draw_counts(n_cells, n_genes, depth, seed)
    linear = normalised(counts, target)
    expected = np.log1p(normalised(counts, 1e4))
    for values, scale in ((counts, "counts"), (linear, "linear"), (np.log1p(linear), "log1p")):
        np.testing.assert_allclose(
            on_model_scale(InputKind(scale, total=target), values), expected, rtol=2e-5, atol=1e-6
        )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), target=st.sampled_from([1e3, 1e4, 1e6]))
def test_the_kind_is_told_from_the_values_alone(seed, target):
    counts = draw_counts(20, 50, 3.0, seed)
    linear = normalised(counts, target)
    expected = np.log1p(normalised(counts, 1e4))
    for values in (counts, linear, np.log1p(linear)):
        np.testing.assert_allclose(on_model_scale(kind_of(values), values), expected, rtol=2e-5, atol=1e-6)
