"""Planted CITE-seq cells are what their documentation says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims
from sims_tools.data import planted_cite


def means(mdata, modality: str) -> pd.DataFrame:
    adata = mdata.mod[modality]
    return pd.DataFrame(adata.X.toarray(), columns=adata.var_names).groupby(mdata.obs["cell_type"].to_numpy()).mean()


def test_shape_and_types():
    mdata = planted_cite(120, 50, 8, ("rna", "protein", "both"))
    assert mdata.mod["rna"].shape == (120, 50)
    assert mdata.mod["prot"].shape == (120, 8)
    assert all(isinstance(each.X, sparse.csr_matrix) and each.X.dtype == np.float32 for each in mdata.mod.values())
    assert sims.pp.input_kind(mdata.mod["rna"]) == sims.pp.input_kind(mdata.mod["prot"]) == "counts"
    assert list(mdata.obs["cell_type"].cat.categories) == ["rna_0", "protein_1", "both_2"]
    assert (mdata.mod["rna"].obs_names == mdata.obs_names).all()


@pytest.mark.parametrize(("modality", "n_markers", "silent"), [("rna", 5, "protein"), ("prot", 1, "rna")])
def test_a_class_is_marked_in_the_modality_that_carries_it_and_nowhere_else(modality, n_markers, silent):
    mdata = planted_cite(3000, 600, 10)
    marker_of = mdata.mod[modality].var["marker_of"]
    marked = [name for name in mdata.obs["cell_type"].cat.categories if not name.startswith(silent)]
    assert marker_of[marker_of != ""].value_counts().to_dict() == dict.fromkeys(marked, n_markers)
    of_class = means(mdata, modality)
    for feature, name in marker_of[marker_of != ""].items():
        assert of_class[feature].idxmax() == name
        assert of_class.loc[name, feature] > 3 * of_class[feature].drop(name).max()
    unmarked = of_class.loc[[name for name in of_class.index if name.startswith(silent)]]
    rest = of_class[marker_of.index[marker_of == ""]]
    assert np.median(rest.max() / rest.min()) < 1.5
    np.testing.assert_allclose(unmarked.iloc[0], unmarked.iloc[1], rtol=0.3, atol=0.5)


def test_same_seed_same_cells():
    one, same, other = planted_cite(50, 30, 5), planted_cite(50, 30, 5), planted_cite(50, 30, 5, random_state=1)
    for modality in ("rna", "prot"):
        assert (one.mod[modality].X != same.mod[modality].X).nnz == 0
        assert (one.mod[modality].X != other.mod[modality].X).nnz > 0
    assert one.obs["cell_type"].equals(same.obs["cell_type"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_cells": 5}, "need at least .*'n_cells': 6.*found .*'n_cells': 5"),
        ({"n_genes": 19}, "'n_genes': 20"),
        ({"n_proteins": 3}, "'n_proteins': 4"),
        ({"carriers": ()}, "need at least"),
        ({"carriers": ("rna", "dna")}, "`carriers='dna'` is not one of 'rna', 'protein', 'both'"),
    ],
)
def test_impossible_requests(options, message):
    with pytest.raises(ValueError, match=message):
        planted_cite(**options)
