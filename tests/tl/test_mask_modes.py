"""What is kept of masks, and what can be done with it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

import sims_tools as sims
from sims_tools.tl._mask_modes import ClassSums, heaviest, mask_mode

QUIET = {"progress_bar": False}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_the_heaviest_are_those_that_sorting_each_row_gives(seed, n):
    rng = np.random.default_rng(seed)
    masks = sparse.random(7, 9, 0.6, format="csr", dtype=np.float32, rng=rng)
    masks.data = rng.integers(1, 4, masks.nnz).astype(np.float32)  # many are equal
    dense, expected = masks.toarray(), np.zeros((7, 9), np.float32)
    for row in range(7):
        best = np.argsort(-dense[row], kind="stable")[:n]
        expected[row, best] = dense[row, best]
    found = heaviest(masks, n)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_canonical_format
    assert (np.diff(found.indptr) <= n).all()


def test_sums_of_parts_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    masks, codes = sparse.random(100, 8, 0.5, format="csr", dtype=np.float32, rng=rng), rng.integers(0, 4, 100)
    whole, total = ClassSums(3, 8, 32), np.zeros((3, 8))
    for start in range(0, 100, 32):
        part = ClassSums(3, 8, 32)
        for first in range(start, min(start + 32, 100), 16):
            block = slice(first, min(first + 16, start + 32, 100))
            whole.add(codes[block], masks[block], first)
            part.add(codes[block], masks[block], first - start)
        total += part.sums
    np.testing.assert_array_equal(whole.sums, total)
    np.testing.assert_array_equal(whole.n_cells, np.bincount(codes, minlength=4)[:3])
    np.testing.assert_allclose(whole.sums[1], masks[codes == 1].toarray().sum(0), rtol=1e-6)


def test_means_and_the_heaviest_follow_from_the_masks(cells, model):
    full, top, mean = cells.copy(), cells.copy(), cells.copy()
    sims.tl.annotate(full, model, **QUIET)
    sims.tl.annotate(top, model, masks="top", n_mask_features=2, probabilities=False, **QUIET)
    sims.tl.annotate(mean, model, masks="mean", **QUIET)
    assert (top.obsm["sims_masks"] != heaviest(full.obsm["sims_masks"], 2)).nnz == 0
    assert "sims_prob" not in top.obsm
    assert "sims_masks" not in mean.obsm
    labels, masks = full.obs["sims"].cat.codes.to_numpy(), full.obsm["sims_masks"].toarray().astype(float)
    expected = np.array([masks[labels == code].mean(0) for code in range(3)])
    np.testing.assert_allclose(mean.uns["sims"]["mean_masks"], expected, rtol=1e-6, atol=1e-9)
    np.testing.assert_array_equal(mean.uns["sims"]["mean_mask_cells"], np.bincount(labels))


def test_means_are_enough_to_rank_for_tables_and_for_figures_of_groups(cells, model):
    mean = cells.copy()
    sims.tl.annotate(cells, model, **QUIET)
    sims.tl.annotate(mean, model, masks="mean", **QUIET)
    for adata in (cells, mean):
        sims.tl.rank_mask_genes(adata)
    ranks, of_means = (adata.uns["rank_mask_genes"] for adata in (cells, mean))
    for group in ranks["scores"].dtype.names:
        np.testing.assert_allclose(of_means["scores"][group], ranks["scores"][group], atol=1e-6)
    figures = [sims.pl.feature_masks(adata, kind="heatmap", return_fig=True) for adata in (cells, mean)]
    drawn = [figure.axes[0].images[0].get_array() for figure in figures]
    np.testing.assert_allclose(drawn[0], drawn[1], atol=1e-5)
    bars = [sims.pl.feature_masks(adata, kind="bar", groupby="donor", show=False).patches for adata in (cells, mean)]
    widths = [[bar.get_width() for bar in each] for each in bars]
    np.testing.assert_allclose(widths[0], widths[1], atol=1e-5)
    for group in (None, "type_1"):
        tables = [sims.get.mask_df(adata, group=group, n_genes=None).set_index("gene") for adata in (cells, mean)]
        np.testing.assert_allclose(tables[1]["weight"], tables[0]["weight"].reindex(tables[1].index), atol=1e-6)
        assert len(tables[0]) == len(tables[1])
        assert tables[1]["n_cells"].isna().all()
    with pytest.raises(KeyError, match="no cell labelled 'type_9'"):
        sims.get.mask_df(mean, group="type_9")


def test_what_was_not_kept_is_said(cells, model):
    sims.tl.annotate(cells, model, masks="mean", **QUIET)
    for read in (
        lambda: sims.get.mask_df(cells, [0]),
        lambda: sims.get.mask_df(cells, groupby="donor", group="donor_1"),
        lambda: sims.pl.feature_masks(cells, kind="cells"),
        lambda: sims.tl.rank_mask_genes(cells, "donor"),
    ):
        with pytest.raises(KeyError, match="was made with `masks='mean'`"):
            read()
    sims.tl.annotate(cells, model, masks="none", **QUIET)
    with pytest.raises(KeyError, match="The annotation was made with `masks='none'"):
        sims.get.mask_df(cells)


def test_true_and_false_are_as_they_were():
    assert mask_mode(True, 10).kind == "full"
    assert mask_mode(False, 10).kind == "none"
    assert not mask_mode("none", 10)
