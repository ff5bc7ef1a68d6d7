import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sims_tools import pl
from sims_tools.pl._text import shorten, spread

KINDS = ("umap", "heatmap", "cells", "bar")


def tick_names(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def drawn(ax):
    return np.asarray(ax.images[0].get_array())


def test_heatmap_shows_every_gene_relative_to_its_maximum(adata):
    ax = pl.feature_masks(adata, kind="heatmap", show=False)
    values = drawn(ax)
    genes = tick_names(ax.xaxis)
    assert tick_names(ax.yaxis) == [f"class {rank}" for rank in range(4)]
    np.testing.assert_allclose(values.max(axis=0), 1)
    assert not any(gene.startswith("IDLE") for gene in genes)
    for column, gene in enumerate(genes):
        if gene.startswith("C") and "-" in gene:
            own = int(gene[1])
            assert values[own, column] == 1
            assert np.delete(values[:, column], own).max() == 0
    masks = adata.obsm["sims_masks"].toarray()
    mean = pd.DataFrame(masks, columns=adata.var_names).groupby(adata.obs["sims"].to_numpy(), sort=False).mean()
    expected = (mean / mean.max()).loc[tick_names(ax.yaxis), genes]
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def test_heatmap_puts_genes_of_a_class_side_by_side_and_titles_its_colour_bar(adata):
    ax = pl.feature_masks(adata, kind="heatmap", show=False)
    home = drawn(ax).argmax(axis=0)
    assert (np.diff(home) >= 0).all()
    (bar,) = ax.child_axes
    assert bar.get_title(loc="left").split() == ["mean", "mask", "(share", "of", "maximum)"]


def test_heatmap_picks_the_columns_of_largest_norm(adata):
    ax = pl.feature_masks(adata, kind="heatmap", n_genes=4, show=False)
    assert sorted(tick_names(ax.xaxis)) == ["C0-0", "C1-0", "C2-0", "C3-0"]


def test_heatmap_by_another_column(adata):
    ax = pl.feature_masks(adata, kind="heatmap", groupby="donor", show=False)
    assert tick_names(ax.yaxis) == ["d1", "d2", "d3"]


def test_cells_are_sorted_by_class(adata):
    shuffled = adata[np.random.default_rng(0).permutation(adata.n_obs)].copy()
    ax = pl.feature_masks(shuffled, kind="cells", n_genes=4, show=False)
    assert drawn(ax).shape == (240, 4)
    strip = next(child for child in ax.child_axes if child.images and drawn(child).shape[1] == 1)
    codes = drawn(strip)[:, 0]
    assert (np.diff(codes) >= 0).all()
    assert [text.get_text() for text in strip.texts] == [f"class {rank}" for rank in range(4)]
    order = np.argsort(shuffled.obs["sims"].cat.codes.to_numpy(), kind="stable")
    genes = tick_names(ax.xaxis)
    expected = shuffled.obsm["sims_masks"].toarray()[order][:, shuffled.var_names.get_indexer(genes)]
    np.testing.assert_allclose(drawn(ax), expected)


def test_many_cells_are_thinned_evenly_and_the_same_way_each_time(make):
    adata = make(5, n_obs=6000)
    first, second = (pl.feature_masks(adata, kind="cells", show=False) for _ in range(2))
    assert 1900 < drawn(first).shape[0] <= 2000
    np.testing.assert_array_equal(drawn(first), drawn(second))
    strip = next(child for child in first.child_axes if child.images and drawn(child).shape[1] == 1)
    shares = np.bincount(drawn(strip)[:, 0]) / drawn(first).shape[0]
    np.testing.assert_allclose(shares, adata.obs["sims"].value_counts(normalize=True, sort=False), atol=0.002)


def test_thinning_keeps_a_class_of_one_cell(make):
    adata = make(3, n_obs=5000)
    labels = np.array(["class 0"] * 5000, dtype=object)
    labels[17] = "class 2"
    adata.obs["sims"] = pd.Categorical(labels, categories=["class 0", "class 1", "class 2"])
    ax = pl.feature_masks(adata, kind="cells", show=False)
    strip = next(child for child in ax.child_axes if child.images and drawn(child).shape[1] == 1)
    assert [text.get_text() for text in strip.texts] == ["class 0", "class 2"]
    assert (drawn(strip) == 1).sum() == 1


def test_bars_are_relative_to_the_strongest_gene(adata):
    ax = pl.feature_masks(adata, kind="bar", n_genes=5, show=False)
    total = pd.Series(np.asarray(adata.obsm["sims_masks"].sum(axis=0)).ravel(), index=adata.var_names)
    top = total.nlargest(5) / total.max()
    assert tick_names(ax.yaxis) == list(top.index)
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], top, rtol=1e-5)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the strongest on top


def test_umap_draws_labels_confidence_and_genes(adata):
    axes = pl.feature_masks(adata, n_genes=3, show=False)
    assert [ax.get_title() for ax in axes] == ["sims", "sims_confidence", "C0-0", "C0-1", "C1-0"]
    gene = axes[2].collections[0]
    values = np.ma.filled(gene.get_array().astype(float), np.nan)
    weights = adata.obsm["sims_masks"][:, [0]].toarray()[:, 0]
    assert np.isnan(values).sum() == (weights == 0).sum()
    np.testing.assert_allclose(np.sort(values[~np.isnan(values)]), np.sort(weights[weights > 0]), rtol=1e-6)
    top = gene.get_clim()[1]
    assert np.percentile(weights[weights > 0], 90) < top < weights.max()
    assert axes[1].collections[0].get_clim() == (0, 1)


def test_umap_without_the_prefix_and_without_confidence(adata):
    del adata.obs["sims_confidence"]
    axes = pl.feature_masks(adata, basis="umap", genes=["C1-1"], show=False)
    assert [ax.get_title() for ax in axes] == ["sims", "C1-1"]


def test_umap_uses_the_users_colours_and_greys_unknown(make):
    adata = make(3, unknown=True)
    adata.uns["sims_colors"] = ["#ff0000", "#00ff00", "#0000ff", "#123456"]
    figure = pl.feature_masks(adata, n_genes=1, return_fig=True)
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    colors = [to_hex(handle.get_color()) for handle in legend.legend_handles]
    assert dict(zip(names, colors, strict=True)) == {
        "class 0": "#ff0000",
        "class 1": "#00ff00",
        "class 2": "#0000ff",
        "Unknown": to_hex("lightgrey"),
    }
    faces = {to_hex(face) for face in figure.axes[0].collections[0].get_facecolors()}
    assert faces == set(colors)


@pytest.mark.parametrize("stored", [["#ff0000"], ["no colour"] * 3], ids=["too few", "not colours"])
def test_colours_that_do_not_fit_are_passed_over(make, stored):
    adata = make(3)
    adata.uns["sims_colors"] = stored
    assert isinstance(pl.feature_masks(adata, n_genes=1, return_fig=True), Figure)


def test_genes_can_be_named_by_model_by_object_or_by_symbol(adata):
    adata.uns["sims"]["features"] = np.array([f"ENSG-{gene}" for gene in adata.var_names], dtype=object)
    ax = pl.feature_masks(
        adata, kind="heatmap", genes=["ENSG-C1-0", "C0-0", "S-C2-0"], gene_symbols="symbol", show=False
    )
    assert tick_names(ax.xaxis) == ["S-C1-0", "S-C0-0", "S-C2-0"]
    ax = pl.feature_masks(adata, kind="bar", genes="C0-0", show=False)
    assert tick_names(ax.yaxis) == ["ENSG-C0-0"]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_users_changes(make, kind):
    adata = make(3, unknown=True)
    before = adata.copy()
    obsm, uns, var = list(adata.obsm), list(adata.uns), adata.var.copy()
    pl.feature_masks(adata, kind=kind, show=False)
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    pd.testing.assert_frame_equal(adata.var, var)
    assert list(adata.obsm) == obsm
    assert list(adata.uns) == uns
    assert (adata.obsm["sims_masks"] != before.obsm["sims_masks"]).nnz == 0
    view = adata[:100]
    pl.feature_masks(view, kind=kind, show=False)
    assert view.is_view


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_back(adata, kind, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    assert isinstance(pl.feature_masks(adata, kind=kind, return_fig=True), Figure)
    assert not shown
    assert pl.feature_masks(adata, kind=kind, show=True) is None
    assert len(shown) == 1
    result = pl.feature_masks(adata, kind=kind, show=False)
    assert isinstance(result, list if kind == "umap" else plt.Axes)
    sc.settings.autoshow, usual = False, sc.settings.autoshow
    try:
        assert pl.feature_masks(adata, kind=kind) is not None
    finally:
        sc.settings.autoshow = usual
    if kind == "umap":
        with pytest.raises(ValueError, match="several panels"):
            pl.feature_masks(adata, ax=plt.figure().add_subplot())
    else:
        ax = plt.figure().add_subplot()
        assert pl.feature_masks(adata, kind=kind, ax=ax, show=False) is ax


@pytest.mark.parametrize("kind", KINDS)
def test_cells_without_label_or_mask(adata, kind):
    labels = adata.obs["sims"].astype(object)
    labels.iloc[:20] = np.nan
    adata.obs["sims"] = pd.Categorical(labels, categories=[f"class {rank}" for rank in range(4)])
    adata.obsm["sims_masks"].data[:200] = 0
    assert pl.feature_masks(adata, kind=kind, return_fig=True)
    adata.obsm["sims_masks"].data[:] = 0
    with pytest.raises(ValueError, match="no weight at all"):
        pl.feature_masks(adata, kind=kind, show=False)


def test_errors_say_what_to_do(adata):
    with pytest.raises(ValueError, match="kind='heatmp'.*Did you mean 'heatmap'"):
        pl.feature_masks(adata, kind="heatmp")
    with pytest.raises(KeyError, match=r"Not among the model's 26 genes: 'C0-O'.*'C0-0'"):
        pl.feature_masks(adata, genes=["C0-O"])
    with pytest.raises(ValueError, match="empty"):
        pl.feature_masks(adata, genes=[])
    with pytest.raises(ValueError, match="not both"):
        pl.feature_masks(adata, genes=["C0-0"], n_genes=3)
    with pytest.raises(ValueError, match="n_genes=0"):
        pl.feature_masks(adata, n_genes=0)
    with pytest.raises(KeyError, match="is not a column of `adata.obs`"):
        pl.feature_masks(adata, groupby="doner")
    with pytest.raises(KeyError, match=r"is not a column of `adata.var`"):
        pl.feature_masks(adata, gene_symbols="symbols")
    with pytest.raises(KeyError, match=r"sc.pp.neighbors\(adata\)"):
        pl.feature_masks(adata, basis="X_tsne")
    adata.obs["empty"] = pd.Categorical([None] * adata.n_obs, categories=["a"])
    with pytest.raises(ValueError, match="No cell has a label"):
        pl.feature_masks(adata, groupby="empty")
    del adata.obsm["sims_masks"]
    with pytest.raises(KeyError, match="masks=True"):
        pl.feature_masks(adata)


def test_shortened_names_stay_apart():
    assert shorten(["short", "x" * 30 + "y" * 30], 11) == ["short", "xxxxx…yyyyy"]
    names = [f"{'a' * 30}{rank}{'b' * 30}" for rank in range(5)]
    assert len(set(shorten(names, 20))) == 5
    assert max(map(len, shorten([f"{'a' * 50} {rank}" for rank in range(60)], 40))) == 40


def test_spread_keeps_the_gap_and_the_bounds():
    places = spread([1, 1.1, 1.2, 8, 9.9], 1, 0, 10)
    assert (np.diff(places) > 1 - 1e-9).all()
    assert places[0] >= 0
    assert places[-1] <= 10
    assert spread([1, 4, 7], 1, 0, 10) == [1, 4, 7]
    assert spread([], 1, 0, 10) == []
