import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sims_tools import get

MASKS = [
    [0.5, 0.5, 0.0, 0.0],  # a0  A
    [0.75, 0.25, 0.0, 0.0],  # a1  A
    [0.0, 0.25, 0.75, 0.0],  # b0  B
    [0.0, 0.25, 0.25, 0.5],  # b1  B
    [0.0, 0.0, 0.0, 0.0],  # none
]


@pytest.fixture
def adata():
    return ad.AnnData(
        np.ones((5, 3), dtype=np.float32),
        obs=pd.DataFrame(
            {"sims": pd.Categorical(["A", "A", "B", "B", None]), "donor": ["d1", "d2", "d1", "d2", "d1"]},
            index=["a0", "a1", "b0", "b1", "none"],
        ),
        var=pd.DataFrame(index=["v0", "v2", "v3"]),
        obsm={
            "sims_masks": sparse.csr_matrix(np.array(MASKS, dtype=np.float32)),
            "sims_prob": np.array([[0.9, 0.1], [0.8, 0.2], [0, 1], [0.4, 0.6], [0.5, 0.5]], dtype=np.float32),
        },
        uns={
            "sims": {
                "classes": np.array(["A", "B/C"], dtype=object),
                "features": np.array(["g0", "g1", "g2", "g3"], dtype=object),
                "feature_var_names": np.array(["v0", "", "v2", "v3"], dtype=object),
            }
        },
    )


def test_one_cell(adata):
    table = get.mask_df(adata, "b1")
    assert list(table.columns) == ["gene", "var_name", "weight", "n_cells", "share_of_cells"]
    assert table["gene"].tolist() == ["g3", "g1", "g2"]  # equal weights keep the model's order
    assert table["var_name"].isna().tolist() == [False, True, False]
    assert table["var_name"].dropna().tolist() == ["v3", "v2"]
    np.testing.assert_allclose(table["weight"], [0.5, 0.25, 0.25])
    assert table["n_cells"].tolist() == [1, 1, 1]
    assert table.index.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "cells",
    [
        ["a0", "b0"],
        pd.Index(["a0", "b0"]),
        np.array([0, 2]),
        [0, 2],
        [-5, -3],
        slice(0, 3, 2),
        np.array([True, False, True, False, False]),
        pd.Series([True, False, True, False, False]),
        [True, False, True, False, False],
    ],
    ids=str,
)
def test_a_set_of_cells(adata, cells):
    table = get.mask_df(adata, cells)
    assert table["gene"].tolist() == ["g1", "g2", "g0"]
    np.testing.assert_allclose(table["weight"], [0.375, 0.375, 0.25])
    assert table["n_cells"].tolist() == [2, 1, 1]
    np.testing.assert_allclose(table["share_of_cells"], [1, 0.5, 0.5])


def test_a_group(adata):
    table = get.mask_df(adata, group="A")
    assert table["gene"].tolist() == ["g0", "g1"]
    np.testing.assert_allclose(table["weight"], [0.625, 0.375])
    pd.testing.assert_frame_equal(get.mask_df(adata, groupby="sims", group="A"), table)
    table = get.mask_df(adata, groupby="donor", group="d1")
    np.testing.assert_allclose(table.set_index("gene").loc["g1", "weight"], 0.25)  # the empty cell counts


def test_all_cells_and_how_many_genes(adata):
    table = get.mask_df(adata, n_genes=None)
    assert set(table["gene"]) == {"g0", "g1", "g2", "g3"}
    assert table["weight"].sum() == pytest.approx(4 / 5)
    assert table["weight"].is_monotonic_decreasing
    pd.testing.assert_frame_equal(get.mask_df(adata, n_genes=2), table.head(2))
    assert get.mask_df(adata, "none").empty


def test_a_gene_that_was_dropped_after_annotation_is_missing(adata):
    table = get.mask_df(adata[:, ["v0", "v3"]].copy(), "b0")
    assert table["var_name"].isna().all()


def test_a_view_and_another_key(adata):
    expected = get.mask_df(adata, ["b0", "b1"])
    pd.testing.assert_frame_equal(get.mask_df(adata[2:4]), expected)
    adata.obsm["other_masks"] = adata.obsm.pop("sims_masks")
    adata.uns["other"] = adata.uns.pop("sims")
    adata.obs["other"] = adata.obs.pop("sims")
    pd.testing.assert_frame_equal(get.mask_df(adata, group="B", key="other"), expected)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_after_storing(adata, kind, tmp_path):
    path = tmp_path / f"cells.{kind}"
    getattr(adata, f"write_{kind}")(path)
    again = getattr(ad, f"read_{kind}")(path)
    pd.testing.assert_frame_equal(get.mask_df(again, group="B"), get.mask_df(adata, group="B"))
    np.testing.assert_array_equal(get.prob_df(again), get.prob_df(adata))
    assert list(get.prob_df(again).columns) == ["A", "B/C"]


def test_mask_errors(adata):
    with pytest.raises(KeyError, match=r"Not in `adata.obs_names`: 'a3'.*'a1'"):
        get.mask_df(adata, ["a0", "a3"])
    with pytest.raises(KeyError, match="Names look like 'a0', 'a1', 'b0'"):
        get.mask_df(adata, "AAACCTG")
    with pytest.raises(ValueError, match=r"one value per cell \(5\), not 2"):
        get.mask_df(adata, [True, False])
    with pytest.raises(IndexError, match="outside the 5 cells: '5'"):
        get.mask_df(adata, [0, 5])
    with pytest.raises(ValueError, match="No cell was selected"):
        get.mask_df(adata, [])
    with pytest.raises(KeyError, match="no cell labelled 'd11'.*Did you mean 'd1'"):
        get.mask_df(adata, groupby="donor", group="d11")
    with pytest.raises(ValueError, match="needs `group`"):
        get.mask_df(adata, groupby="donor")
    with pytest.raises(ValueError, match="not both"):
        get.mask_df(adata, "a0", group="A")
    with pytest.raises(ValueError, match="n_genes=0"):
        get.mask_df(adata, n_genes=0)
    with pytest.raises(KeyError, match="masks=True"):
        get.mask_df(adata, key="other")
    adata.uns["sims"]["features"] = np.array(["g0"])
    with pytest.raises(ValueError, match=r"has 4 columns, but .* names 1 genes"):
        get.mask_df(adata)


def test_prob_df(adata):
    table = get.prob_df(adata)
    assert list(table.columns) == ["A", "B/C"]
    assert table.index.equals(adata.obs_names)
    np.testing.assert_array_equal(table, adata.obsm["sims_prob"])
    assert table.loc["a0", "A"] == np.float32(0.9)


def test_prob_errors(adata):
    with pytest.raises(KeyError, match="sims.tl.annotate"):
        get.prob_df(adata, key="other")
    adata.uns["sims"]["classes"] = np.array(["A"])
    with pytest.raises(ValueError, match="has 2 columns, but .* names 1"):
        get.prob_df(adata)
