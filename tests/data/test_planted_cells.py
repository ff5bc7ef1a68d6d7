"""Planted cells are what their documentation says."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims
from sims_tools.data import planted_cells


def same(one: ad.AnnData, other: ad.AnnData) -> bool:
    return one.shape == other.shape and (one.X != other.X).nnz == 0 and one.obs.equals(other.obs)


def test_shape_and_types():
    adata = planted_cells(300, 80, 5, n_markers=4)
    assert adata.shape == (300, 80)
    assert isinstance(adata.X, sparse.csr_matrix)
    assert adata.X.dtype == np.float32
    assert sims.pp.input_kind(adata) == "counts"
    assert list(adata.obs["cell_type"].cat.categories) == [f"type_{c}" for c in range(5)]
    assert adata.obs["donor"].nunique() == 4
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique


def test_markers_mark_their_class():
    adata = planted_cells(2000, 100, 4, n_markers=6, fold=8)
    marker_of = adata.var["marker_of"]
    assert marker_of.value_counts().to_dict() == {"": 76, **{f"type_{c}": 6 for c in range(4)}}
    cp10k = adata.X.multiply(1e4 / adata.X.sum(1)).toarray()
    means = pd.DataFrame(cp10k, columns=adata.var_names).groupby(adata.obs["cell_type"].to_numpy()).mean()
    for gene, name in marker_of[marker_of != ""].items():
        assert means[gene].idxmax() == name
        assert means.loc[name, gene] > 4 * means[gene].drop(name).max()
    others = means[marker_of.index[marker_of == ""]]
    assert np.median(others.max() / others.min()) < 1.5


def test_library_sizes_are_about_what_was_asked_for():
    totals = np.ravel(planted_cells(1000, 200, 3, mean_total=500).X.sum(1))
    assert np.median(totals) == pytest.approx(500, rel=0.1)


@pytest.mark.parametrize("weights", [None, [1, 0, 0], [1e9, 1, 1], np.array([0.2, 0.3, 0.5])])
@pytest.mark.parametrize("n_cells", [3, 4, 50])
def test_every_class_has_a_cell(weights, n_cells):
    adata = planted_cells(n_cells, 30, 3, weights=weights)
    assert adata.obs["cell_type"].nunique() == 3


def test_weights_are_relative_abundances():
    shares = planted_cells(4000, 30, 3, weights=[6, 3, 1]).obs["cell_type"].value_counts(normalize=True)
    np.testing.assert_allclose(shares.sort_index(), [0.6, 0.3, 0.1], atol=0.03)


def test_same_seed_same_cells():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert same(planted_cells(60, 40, 3), planted_cells(60, 40, 3))
    assert not same(planted_cells(60, 40, 3), planted_cells(60, 40, 3, random_state=1))
    np.testing.assert_array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_many_cells_are_drawn_some_at_a_time():
    adata = planted_cells(2500, 20, 2)
    assert adata.n_obs == 2500
    assert (adata.X.sum(1) > 0).all()
    assert adata.X.has_canonical_format


def test_small_sizes():
    assert planted_cells(1, 1, 1, n_markers=1).shape == (1, 1)
    assert (planted_cells(20, 10, 4, n_markers=0).var["marker_of"] == "").all()


def test_it_can_be_written(tmp_path):
    adata = planted_cells(30, 20, 2)
    adata.write_h5ad(tmp_path / "a.h5ad")
    assert list(ad.read_h5ad(tmp_path / "a.h5ad").var["marker_of"]) == list(adata.var["marker_of"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_genes": 19}, "4 classes of 5 markers need 20 genes and 4 cells; found `n_genes=19`"),
        ({"n_cells": 3}, "need 20 genes and 4 cells; .*`n_cells=3`"),
        ({"n_classes": 0}, "n_classes=0.*expected at least 1"),
        ({"n_genes": 0}, "n_genes=0.*expected at least 1"),
        ({"n_markers": -1}, "n_markers=-1"),
        ({"weights": [1, 2]}, r"`weights=\[1, 2\]` must be 4 shares"),
        ({"weights": [1, 2, 3, -1]}, "not negative"),
        ({"weights": [0, 0, 0, 0]}, "must be 4 shares"),
        ({"weights": [1, 1, 1, np.nan]}, "must be 4 shares"),
    ],
)
def test_impossible_requests(options, message):
    with pytest.raises(ValueError, match=message):
        planted_cells(**options)
