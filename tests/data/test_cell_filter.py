"""Cells that a recipe leaves out of training, against scanpy's measures."""

import logging

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import sims_tools as sims
from sims_tools.data._cell_filter import CellFilter


def cells(n=80, p=50, n_mitochondrial=5):
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.7, 1.0, (n, p)) * rng.uniform(0.2, 2, (n, 1))).astype(np.float32)
    counts[0] = 0
    names = [f"MT-{i}" for i in range(n_mitochondrial)] + [f"GENE{i}" for i in range(p - n_mitochondrial)]
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.var_names = names
    return adata


def keeps(adata, size=17, **limits):
    totals = np.asarray(adata.X.sum(1)).ravel()
    blocks = ((adata.X[s : s + size], totals[s : s + size]) for s in range(0, adata.n_obs, size))
    return CellFilter(**limits).keeps(blocks, totals, list(adata.var_names))


def test_its_measures_are_those_of_scanpy():
    adata = cells()
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=None, log1p=False, inplace=True)
    n_genes, percent = adata.obs["n_genes_by_counts"].to_numpy(), adata.obs["pct_counts_mt"].fillna(0).to_numpy()
    np.testing.assert_array_equal(keeps(adata, min_genes=15), n_genes >= 15)
    np.testing.assert_array_equal(keeps(adata, max_genes=20), n_genes < 20)
    np.testing.assert_array_equal(keeps(adata, max_mitochondrial=0.1), percent < 10)
    both = keeps(adata, min_genes=15, max_genes=22, max_mitochondrial=0.1)
    np.testing.assert_array_equal(both, (n_genes >= 15) & (n_genes < 22) & (percent < 10))
    assert 0 < both.sum() < 80
    assert CellFilter().is_open
    assert keeps(adata).all()


@pytest.mark.parametrize("limits", [{"min_genes": -1}, {"max_genes": 0}, {"max_mitochondrial": 5}])
def test_limits_out_of_range_are_refused(limits):
    with pytest.raises(ValueError, match=next(iter(limits))):
        CellFilter(**limits)


def test_cells_that_do_not_pass_train_nothing_and_are_annotated(small, caplog):
    cells = sims.data.planted_cells(200, 60, 3)
    n_genes = np.asarray((cells.X != 0).sum(1)).ravel()
    limit = int(np.median(n_genes))
    with caplog.at_level(logging.INFO, "sims_tools"):
        model = sims.tl.train(cells, "cell_type", max_epochs=1, min_genes=limit, **small)
    np.testing.assert_array_equal(cells.obs["sims_split"] == "unlabeled", n_genes < limit)
    assert f"{(n_genes < limit).sum()} labelled cells do not pass CellFilter(min_genes={limit}" in caplog.text
    assert cells.uns["sims"]["params"]["cell_filter"]["min_genes"] == limit
    sims.tl.annotate(cells, model, progress_bar=False)
    assert cells.obs["sims"].notna().all()


def test_a_filter_that_leaves_no_two_classes_says_so(cells, small):
    with pytest.raises(ValueError, match=r"min_genes=5000.* leaves 0 labelled cells.*`min_genes=0` say"):
        sims.tl.train(cells, "cell_type", min_genes=5000, **small)
    assert "sims_split" not in cells.obs
