"""Looking at data says what it is and leaves it alone."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import sims_tools as sims


@pytest.fixture
def adata() -> ad.AnnData:
    return sims.data.planted_cells(80, 40, 3)


def normalise(adata: ad.AnnData) -> None:
    """As `sc.pp.normalize_total`, which takes seconds to compile itself."""
    totals = np.ravel(adata.X.sum(1))
    adata.X = sparse.csr_matrix(adata.X.multiply(np.median(totals) / totals[:, None]))


def test_the_kinds_that_preprocessing_makes_of_counts(adata):
    assert sims.pp.input_kind(adata) == "counts"
    normalise(adata)
    assert sims.pp.input_kind(adata) == "linear"
    sc.pp.log1p(adata)
    assert sims.pp.input_kind(adata) == "log1p"
    dense = adata.X.toarray()
    adata.X = (dense - dense.mean(0)) / (dense.std(0) + 1e-3)
    assert sims.pp.input_kind(adata) == "scaled"
    adata.X[3, 3] = np.nan
    assert sims.pp.input_kind(adata) == "invalid"


def test_stored_data():
    reduced = sc.datasets.pbmc68k_reduced()
    assert sims.pp.input_kind(reduced) == "scaled"
    assert sims.pp.input_kind(reduced.raw.to_adata()) == "log1p"
    assert sims.pp.gene_id_kind(reduced) == "symbol"


def test_layers_views_and_files(adata, tmp_path):
    adata.layers["counts"] = adata.X.copy()
    normalise(adata)
    sc.pp.log1p(adata)
    adata.write_h5ad(tmp_path / "a.h5ad")
    for each in (adata, adata[::2], ad.read_h5ad(tmp_path / "a.h5ad", backed="r")):
        assert sims.pp.input_kind(each) == "log1p"
        assert sims.pp.input_kind(each, layer="counts") == "counts"
    assert sims.pp.input_kind(adata[5:6], layer="counts") == "counts"


def test_nothing_is_changed(adata):
    sc.pp.log1p(adata)
    before, view = adata.copy(), adata[::3]
    for each in (adata, view):
        sims.pp.input_kind(each)
        sims.pp.gene_id_kind(each)
    assert view.is_view
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(adata.X, name), getattr(before.X, name))
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert adata.uns == before.uns


def test_what_cannot_be_looked_at(adata):
    with pytest.raises(KeyError, match=r"`layer='counts'` is not in `adata.layers`, which has none\."):
        sims.pp.input_kind(adata, layer="counts")
    with pytest.raises(ValueError, match="is empty: it has 0 cells"):
        sims.pp.input_kind(adata[:0])
    with pytest.raises(ValueError, match="`adata.X` is None"):
        sims.pp.input_kind(ad.AnnData(obs=adata.obs, var=adata.var))


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["ENSG00000141510.11", "ENSG00000012048"], "ensembl"),
        (["TP53", "BRCA1"], "symbol"),
        (["TP53", "ENSG00000012048"], "mixed"),
    ],
)
def test_kinds_of_gene_names(names, kind):
    adata = ad.AnnData(sparse.csr_matrix((3, 2), dtype=np.float32), var=pd.DataFrame(index=names))
    assert sims.pp.gene_id_kind(adata) == kind
    assert sims.pp.gene_id_kind(adata[:, ::-1]) == kind
