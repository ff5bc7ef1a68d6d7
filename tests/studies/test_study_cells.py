"""Cells are read once, shared where they can be, and checked."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse


def test_the_counts_are_not_copied_for_a_study_nor_for_a_fold(cells, read):
    found = read(cells)
    assert np.shares_memory(found.matrix.data, cells.X.data)
    fold = found.adata(np.arange(50))
    assert np.shares_memory(fold.X.data, cells.X.data)
    assert fold.obs["labels"].notna().sum() == 50
    assert fold[np.arange(50, 80)].is_view


@pytest.mark.parametrize("kind", ["dense", "csc", "view", "layer", "backed", "dask"])
def test_storages_hold_the_same_cells(cells, read, tmp_path, kind):
    expected, how = read(cells), {}
    if kind == "dense":
        cells.X = cells.X.toarray()
    elif kind == "csc":
        cells.X = cells.X.tocsc()
    elif kind == "view":
        cells = ad.concat([cells, cells], index_unique="-")[: cells.n_obs]
    elif kind == "layer":
        cells.layers["counts"], how = cells.X, {"layer": "counts"}
        cells.X = None
    elif kind == "backed":
        cells.write_h5ad(tmp_path / "cells.h5ad")
        cells = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    else:
        array = pytest.importorskip("dask.array")
        cells.X = array.from_array(cells.X.toarray(), chunks=(64, 60))
    found = read(cells, **how)
    assert (found.matrix != expected.matrix).nnz == 0
    np.testing.assert_array_equal(found.totals, expected.totals)
    np.testing.assert_array_equal(found.labels.codes, expected.labels.codes)


def test_log_expression_is_that_of_scanpy_for_counts_and_for_logs(cells, read):
    logged = cells.copy()
    sc.pp.normalize_total(logged, target_sum=1e4)
    sc.pp.log1p(logged)
    rows = np.array([3, 1, 190])
    for each in (cells, logged):
        np.testing.assert_allclose(read(each).log1p(rows).toarray(), logged.X[rows].toarray(), rtol=1e-5, atol=1e-5)


def test_cells_without_label_or_counts_take_no_part(cells, read, caplog):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.add_categories("Unknown")
    cells.obs.iloc[0, 0], cells.obs.iloc[1, 0] = np.nan, "Unknown"
    values = cells.X.toarray()
    values[2] = 0
    cells.X = sparse.csr_matrix(values)
    np.testing.assert_array_equal(np.flatnonzero(read(cells).labels.codes < 0), [0, 1, 2])
    assert "1 labelled cells have no counts" in caplog.text


@pytest.mark.parametrize(
    ("value", "message"), [(np.nan, "NaN"), (-1.0, "negative"), (np.inf, "infinite")], ids=["nan", "negative", "inf"]
)
def test_values_that_are_no_expression_are_refused(cells, read, value, message):
    cells.X.data[-1] = value
    with pytest.raises(ValueError, match=message):
        read(cells)


def test_a_study_needs_two_classes(cells, read):
    with pytest.raises(ValueError, match="at least two classes"):
        read(cells[cells.obs["cell_type"] == "type_0"])
