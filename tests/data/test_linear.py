"""A whole matrix on a linear scale: shared where it can be, in order, with the totals of its cells."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sims_tools.data._kind import InputKind
from sims_tools.data._linear import linear_matrix
from sims_tools.data._matrix import row_sums, run_of_rows

COUNTS, LOGS = InputKind("counts"), InputKind("log1p", total=1e4)


def in_order(matrix: sparse.csr_matrix) -> bool:
    arrays = matrix.data, matrix.indices, matrix.indptr
    return sparse.csr_matrix(arrays, shape=matrix.shape).has_canonical_format


@pytest.mark.parametrize("totals", [None, np.arange(53.0)])
def test_any_storage_becomes_csr_in_order(store, everyhow, counts, unchanged, totals):
    adata = store(everyhow, counts)
    with unchanged(adata):
        matrix, found = linear_matrix(adata, None, COUNTS, totals)
        np.testing.assert_array_equal(matrix.toarray(), counts)
    assert in_order(matrix)
    np.testing.assert_array_equal(found, counts.sum(1) if totals is None else totals)


@pytest.mark.parametrize("totals", [None, np.arange(53.0)])
def test_logs_are_taken_back(name_cells, counts, totals):
    normalised = counts / np.maximum(counts.sum(1, keepdims=True), 1) * 1e4
    matrix, found = linear_matrix(name_cells(sparse.csr_matrix(np.log1p(normalised))), None, LOGS, totals)
    np.testing.assert_allclose(matrix.toarray(), normalised, rtol=1e-5)
    np.testing.assert_allclose(found, normalised.sum(1) if totals is None else totals, rtol=1e-5)


@pytest.mark.parametrize("totals", [None, np.arange(53.0)])
def test_a_matrix_in_order_is_shared_and_another_is_left_alone(name_cells, counts, unchanged, totals):
    adata = name_cells(sparse.csr_matrix(counts.astype(np.int64)))
    matrix, _ = linear_matrix(adata, None, COUNTS, totals)
    assert np.shares_memory(matrix.data, adata.X.data)
    adata.X.indices[:] = np.concatenate([part[::-1] for part in np.split(adata.X.indices, adata.X.indptr[1:-1])])
    expected = sparse.csr_matrix((adata.X.data, adata.X.indices, adata.X.indptr), shape=(53, 17)).toarray()
    with unchanged(adata):
        matrix, _ = linear_matrix(adata, None, COUNTS, totals)
    np.testing.assert_array_equal(matrix.toarray(), expected)
    assert in_order(matrix)


def test_a_layer_and_a_view(name_cells, counts):
    adata = name_cells(sparse.csr_matrix(counts))
    adata.layers["twice"] = 2 * counts
    np.testing.assert_array_equal(linear_matrix(adata, "twice", COUNTS)[0].toarray(), 2 * counts)
    view = adata[[5, 2, 9], 3:]
    np.testing.assert_array_equal(linear_matrix(view, None, COUNTS)[0].toarray(), counts[[5, 2, 9], 3:])
    assert view.is_view


def test_bad_values_are_found(name_cells, counts):
    counts[30, 2] = -1
    with pytest.raises(ValueError, match="negative"):
        linear_matrix(name_cells(sparse.csr_matrix(counts)), None, COUNTS)


@pytest.mark.parametrize("start", [0, 6, 53])
@pytest.mark.parametrize("stop", [53, 8, 6])
def test_a_run_of_rows_is_what_scipy_cuts_out(counts, start, stop):
    matrix = sparse.csr_matrix(counts)
    rows = slice(start, max(start, stop))
    np.testing.assert_array_equal(run_of_rows(matrix, rows).toarray(), counts[rows])


@pytest.mark.parametrize("at_once", [1, 10, 1 << 15])
def test_totals_are_those_of_double_precision_however_many_are_summed_at_once(counts, monkeypatch, at_once):
    import sims_tools.data._matrix as matrix_module

    monkeypatch.setattr(matrix_module, "_AT_ONCE", at_once)
    counts[:3] *= np.float32(1.1)
    found = row_sums(sparse.csr_matrix(counts))
    np.testing.assert_allclose(found, counts.sum(1, dtype=np.float64), rtol=1e-14)
    assert found[7] == 0
    assert row_sums(sparse.csr_matrix((4, 3), dtype=np.float32)).tolist() == [0] * 4
