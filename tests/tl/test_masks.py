import importlib

import anndata as ad
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

from sims_tools.data import _mask_rows, _mask_stats

mpl.use("Agg")
rank_mask_genes = importlib.import_module("sims_tools.tl._masks").rank_mask_genes
GROUPS = ["B", "T/NK", "L2/3 IT"]
FIELDS = ("names", "scores", "logfoldchanges", "pvals", "pvals_adj")


@pytest.fixture
def adata():
    """30 cells of three classes: gene i of the model decides for class i, a common gene for all; one gene is absent."""
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1, 2], 10)
    weights = np.zeros((30, 6), dtype=np.float32)
    weights[np.arange(30), codes] = 0.3 + 0.1 * rng.random(30)
    weights[:, 3] = 0.5
    weights[:10, 4] = 0.1
    weights /= weights.sum(axis=1, keepdims=True)
    return ad.AnnData(
        sparse.csr_matrix(rng.poisson(2, (30, 7)).astype(np.float32)),
        obs=pd.DataFrame(
            {
                "sims": pd.Categorical(np.array(GROUPS, dtype=object)[codes], categories=[*GROUPS, "unused"]),
                "donor": np.tile(["d2", "d1"], 15),
            },
            index=[f"cell{rank}" for rank in range(30)],
        ),
        var=pd.DataFrame(index=["extra0", "v5", "v3", "v2", "v1", "v0", "extra1"]),
        obsm={"sims_masks": sparse.csr_matrix(weights)},
        uns={
            "sims": {
                "features": np.array([f"g{rank}" for rank in range(6)], dtype=object),
                "feature_var_names": np.array(["v0", "v1", "v2", "v3", "", "v5"], dtype=object),
            }
        },
    )


def frame(adata, group=None):
    return sc.get.rank_genes_groups_df(adata, group=group, key="rank_mask_genes")


def test_against_means_by_hand(adata):
    assert rank_mask_genes(adata) is None
    masks = adata.obsm["sims_masks"].toarray()
    for group in GROUPS:
        table = frame(adata, group)
        inside = masks[adata.obs["sims"] == group].mean(axis=0)
        outside = masks[adata.obs["sims"] != group].mean(axis=0)
        assert table["names"].tolist()[:2] == ["v3", f"v{GROUPS.index(group)}"]
        columns = [int(name[1]) for name in table["names"]]
        assert sorted(columns) == [0, 1, 2, 3, 5]
        np.testing.assert_allclose(table["scores"], inside[columns], rtol=1e-6)
        fold = np.log2((inside[columns] + 1e-6) / (outside[columns] + 1e-6))
        np.testing.assert_allclose(table["logfoldchanges"], fold, rtol=1e-5, atol=1e-6)
        assert table["pvals"].isna().all()
        assert table["pvals_adj"].isna().all()


def test_by_difference_the_common_gene_falls_back(adata):
    rank_mask_genes(adata, rank_by="difference")
    masks = adata.obsm["sims_masks"].toarray()
    table = frame(adata, "T/NK")
    assert table["names"].tolist()[0] == "v1"
    in_group = (adata.obs["sims"] == "T/NK").to_numpy()
    expected = masks[in_group, 1].mean() - masks[~in_group, 1].mean()
    assert table["scores"].iloc[0] == pytest.approx(expected)
    assert (np.diff(table["scores"]) <= 0).all()


def test_layout_is_scanpys(adata):
    rank_mask_genes(adata)
    sc.pp.log1p(adata)
    del adata.obs["donor"]
    adata.obs["sims"] = adata.obs["sims"].cat.remove_unused_categories()
    sc.tl.rank_genes_groups(adata, "sims", method="t-test")
    ours, theirs = adata.uns["rank_mask_genes"], adata.uns["rank_genes_groups"]
    assert set(theirs) == set(ours)
    for field in FIELDS:
        assert isinstance(ours[field], np.recarray)
        assert dict(ours[field].dtype.fields) == dict(theirs[field].dtype.fields) or set(
            ours[field].dtype.names
        ) == set(theirs[field].dtype.names)
        assert {each[0] for each in ours[field].dtype.fields.values()} == {
            each[0] for each in theirs[field].dtype.fields.values()
        }
    assert {"groupby", "reference", "method", "use_raw", "layer"} <= set(ours["params"])


def test_share_on_genes_the_object_lacks(adata):
    rank_mask_genes(adata)
    params = adata.uns["rank_mask_genes"]["params"]
    assert params["groups"].tolist() == GROUPS
    expected = adata.obsm["sims_masks"].toarray()[:10, 4].mean()
    np.testing.assert_allclose(params["absent_weight"], [expected, 0, 0], rtol=1e-6)
    fewer = adata[:, ["v0", "v1", "v2", "v5"]].copy()
    rank_mask_genes(fewer)
    assert set(fewer.uns["rank_mask_genes"]["names"]["B"]) == {"v0", "v1", "v2", "v5"}
    assert fewer.uns["rank_mask_genes"]["params"]["absent_weight"].min() > 0.5


def test_number_of_genes(adata):
    rank_mask_genes(adata, n_genes=2)
    assert len(adata.uns["rank_mask_genes"]["names"]) == 2
    rank_mask_genes(adata, n_genes=adata.n_vars)
    table = frame(adata, "B")
    assert table["names"].tolist()[-2:] == ["extra0", "extra1"]
    assert (table["scores"].tail(2) == 0).all()
    assert (table["logfoldchanges"].tail(2) == 0).all()


def test_another_column_of_strings_and_missing_labels(adata):
    adata.obs["donor"] = adata.obs["donor"].astype(object)
    adata.obs.loc["cell0", "donor"] = np.nan
    rank_mask_genes(adata, "donor", key_added="by_donor")
    record = adata.uns["by_donor"]
    assert record["names"].dtype.names == ("d1", "d2")
    assert record["params"]["groupby"] == "donor"
    masks = adata.obsm["sims_masks"].toarray()
    d2 = adata.obs["donor"].to_numpy() == "d2"
    assert d2.sum() == 14
    table = sc.get.rank_genes_groups_df(adata, "d2", key="by_donor").set_index("names")
    assert table.loc["v0", "scores"] == pytest.approx(masks[d2, 0].mean(), rel=1e-6)


@pytest.mark.parametrize("draw", ["rank_genes_groups", "dotplot", "matrixplot", "heatmap", "stacked_violin"])
def test_scanpy_draws_it(adata, draw):
    import matplotlib.pyplot as plt

    adata.obs["sims"] = adata.obs["sims"].cat.remove_unused_categories()  # scanpy's dot plot stumbles over them
    rank_mask_genes(adata)
    plot = getattr(sc.pl, draw if draw == "rank_genes_groups" else f"rank_genes_groups_{draw}")
    extra = {} if draw == "rank_genes_groups" else {"dendrogram": False}
    assert plot(adata, key="rank_mask_genes", n_genes=2, show=False, **extra) is not None
    plt.close("all")


def test_scanpy_draws_the_scores_when_all_genes_are_ranked(adata):
    import matplotlib.pyplot as plt

    adata.obs["sims"] = adata.obs["sims"].cat.remove_unused_categories()
    rank_mask_genes(adata, n_genes=adata.n_vars)
    axes = sc.pl.rank_genes_groups_matrixplot(
        adata, key="rank_mask_genes", n_genes=2, values_to_plot="scores", dendrogram=False, show=False
    )
    assert "mainplot_ax" in axes
    plt.close("all")


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_storing_group_names_with_a_slash(adata, kind, tmp_path):
    rank_mask_genes(adata)
    path = tmp_path / f"ranked.{kind}"
    getattr(adata, f"write_{kind}")(path)
    again = getattr(ad, f"read_{kind}")(path)
    assert again.uns["rank_mask_genes"]["names"].dtype.names == tuple(GROUPS)
    pd.testing.assert_frame_equal(frame(again), frame(adata), check_dtype=False)
    assert list(again.uns["rank_mask_genes"]["params"]["groups"]) == GROUPS


def test_copy_and_nothing_else_changed(adata):
    before = adata.copy()
    ranked = rank_mask_genes(adata, copy=True)
    assert "rank_mask_genes" not in adata.uns
    assert "rank_mask_genes" in ranked.uns
    rank_mask_genes(adata)
    assert set(adata.uns) == {"sims", "rank_mask_genes"}
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert (adata.obsm["sims_masks"] != before.obsm["sims_masks"]).nnz == 0


def test_errors(adata):
    with pytest.raises(ValueError, match="rank_by='weights'.*Did you mean 'weight'"):
        rank_mask_genes(adata, rank_by="weights")
    with pytest.raises(ValueError, match="n_genes=0"):
        rank_mask_genes(adata, n_genes=0)
    with pytest.raises(KeyError, match="groupby='doner'.*Did you mean 'donor'"):
        rank_mask_genes(adata, "doner")
    adata.obs["one"] = pd.Categorical(["a"] * 30, categories=["a", "b"])
    with pytest.raises(ValueError, match=r"holds 1 group\(s\) with cells \('a'\)"):
        rank_mask_genes(adata, "one")
    del adata.obsm["sims_masks"]
    with pytest.raises(KeyError, match=r"sims.tl.annotate\(..., masks=True\)"):
        rank_mask_genes(adata)


def test_sums_do_not_depend_on_the_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    weights = sparse.random(100, 8, density=0.3, format="csr", dtype=np.float32, random_state=0)
    codes = rng.integers(-1, 4, 100)
    whole = _mask_stats.group_sums(weights, codes, 4)
    dense = np.array([weights.toarray()[codes == code].sum(axis=0) for code in range(4)])
    np.testing.assert_allclose(whole, dense, rtol=1e-5)
    monkeypatch.setattr(_mask_rows, "ROWS", 7)
    np.testing.assert_allclose(_mask_stats.group_sums(weights, codes, 4), whole)
    hits = _mask_stats.group_hits(weights, codes, 5)
    np.testing.assert_array_equal(hits[:4], [(weights.toarray()[codes == code] > 0).sum(axis=0) for code in range(4)])
    assert (_mask_stats.group_means(weights, codes, 5)[4] == 0).all()
