"""Which modality decided, as bars."""

from __future__ import annotations

import mudata
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import sparse

import sims_tools as sims


@pytest.fixture
def annotated() -> mudata.MuData:
    """Cells whose masks are known: 0.9 on genes in the first class, 0.2 in the second, 0.5 in the third."""
    cells = sims.data.planted_cite(90, 20, 4, ("rna", "protein", "both"))
    wanted = np.array([0.9, 0.2, 0.5])[cells.obs["cell_type"].cat.codes]
    wanted += np.where(np.arange(90) % 2, 0.05, -0.05)
    for name, share, role in (("rna", wanted, "features"), ("prot", 1 - wanted, "protein_features")):
        masks = np.zeros(cells.mod[name].shape, np.float32)
        masks[:, 0] = share
        cells.mod[name].obsm["sims_masks"] = sparse.csr_matrix(masks)
        names = np.array(cells.mod[name].var_names, dtype=str)
        cells.mod[name].uns["sims"] = {"features": names, "feature_var_names": names}
        cells.uns.setdefault("sims", {})[role] = names
    cells.uns["sims"]["modalities"] = {"rna": "rna", "protein": "prot"}
    cells.obs["sims"] = cells.obs["cell_type"]
    return cells


def test_bars_are_the_mean_shares_protein_first(annotated):
    ax = sims.pl.modality_share(annotated, show=False)
    assert isinstance(ax, Axes)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["protein_1", "both_2", "rna_0"]
    widths = np.array([bar.get_width() for bar in ax.patches]).reshape(2, 3)
    table = sims.get.modality_share_df(annotated).set_index("group").loc[["protein_1", "both_2", "rna_0"]]
    np.testing.assert_allclose(widths[0], table["rna"], atol=1e-6)
    np.testing.assert_allclose(widths.sum(0), 1)
    np.testing.assert_allclose(table["rna"], [0.2, 0.5, 0.9], atol=0.02)
    lines = ax.collections[0].get_segments()
    np.testing.assert_allclose([line[:, 0] for line in lines], table[["rna_q25", "rna_q75"]], atol=1e-6)


def test_the_order_of_the_categories_and_other_groups(annotated):
    ax = sims.pl.modality_share(annotated, sort=False, show=False)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["rna_0", "protein_1", "both_2"]
    ax = sims.pl.modality_share(annotated, groupby="donor", show=False)
    assert len(ax.get_yticklabels()) == annotated.obs["donor"].nunique()


def test_what_comes_back(annotated):
    assert isinstance(sims.pl.modality_share(annotated, return_fig=True), Figure)
    assert "sims_colors" not in annotated.uns


def test_masks_of_one_modality_have_no_shares(annotated):
    del annotated.uns["sims"]["protein_features"], annotated.uns["sims"]["modalities"]["protein"]
    with pytest.raises(ValueError, match="over rna alone"):
        sims.pl.modality_share(annotated)


def test_empty_cells_do_not_count(annotated):
    for name in ("rna", "prot"):
        masks = annotated.mod[name].obsm["sims_masks"].toarray()
        masks[:30] = 0
        annotated.mod[name].obsm["sims_masks"] = sparse.csr_matrix(masks)
    table = sims.get.modality_share_df(annotated)
    assert table["n_cells"].sum() == 60
    np.testing.assert_allclose(table["rna"] + table["protein"], 1)


@pytest.mark.parametrize("kind", ["heatmap", "cells", "bar", "umap"])
def test_feature_masks_of_both_modalities(annotated, kind):
    annotated.mod["rna"].obsm["X_umap"] = np.random.default_rng(0).random((90, 2))
    axes = sims.pl.feature_masks(annotated, kind=kind, show=False)
    first = axes[0] if isinstance(axes, list) else axes
    if kind == "umap":
        assert {ax.get_title() for ax in axes} >= {"gene_0", "protein:protein_0"}
    else:
        labels = first.get_yticklabels() if kind == "bar" else first.get_xticklabels()
        assert {label.get_text() for label in labels} == {"gene_0", "protein:protein_0"}
    one = sims.pl.feature_masks(annotated, kind="bar", genes=["protein_0"], show=False)
    assert [label.get_text() for label in one.get_yticklabels()] == ["protein:protein_0"]
