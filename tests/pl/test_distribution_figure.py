import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sims_tools import pl


def lengths(ax):
    return [bar.get_width() for bar in ax.patches]


def rows(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_bars_are_sorted_with_unknown_last(make):
    adata = make(4, unknown=True)
    adata.obs.loc[adata.obs_names[:120], "sims"] = "Unknown"
    counts = adata.obs["sims"].value_counts()
    ax = pl.label_distribution(adata, show=False)
    assert rows(ax)[-1] == "Unknown"
    assert lengths(ax)[:-1] == sorted(lengths(ax)[:-1], reverse=True)
    assert dict(zip(rows(ax), lengths(ax), strict=True)) == {name: count for name, count in counts.items() if count}
    assert ax.get_xlabel() == "cells"
    assert to_hex(ax.patches[-1].get_facecolor()) == to_hex("lightgrey")


def test_shares(adata):
    ax = pl.label_distribution(adata, normalize=True, show=False)
    assert sum(lengths(ax)) == pytest.approx(1)
    assert ax.get_xlabel() == "share of cells"


def test_groups_are_stacked_shares(adata):
    ax = pl.label_distribution(adata, groupby="donor", show=False)
    assert rows(ax) == ["d1", "d2", "d3"]
    expected = pd.crosstab(adata.obs["sims"], adata.obs["donor"], normalize="columns")
    np.testing.assert_allclose(np.reshape(lengths(ax), (4, 3)), expected)
    ends = [bar.get_x() + bar.get_width() for bar in ax.patches[-3:]]
    np.testing.assert_allclose(ends, 1)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [f"class {rank}" for rank in range(4)]
    ax = pl.label_distribution(adata, groupby="donor", normalize=False, show=False)
    assert sum(lengths(ax)) == adata.n_obs


def test_true_labels_beside_the_predicted(adata):
    adata.obs["truth"] = adata.obs["truth"].cat.rename_categories({"class 3": "alien"})
    ax = pl.label_distribution(adata, labels_key="truth", show=False)
    assert len(ax.patches) == 2 * 5
    true = dict(zip(rows(ax), lengths(ax)[5:], strict=True))
    assert true == {**adata.obs["truth"].value_counts().to_dict(), "class 3": 0}
    assert "true (truth)" in ax.get_xlabel()


def test_missing_labels_are_left_out(adata):
    adata.obs.loc[adata.obs_names[:40], "donor"] = np.nan
    adata.obs.loc[adata.obs_names[-10:], "sims"] = np.nan
    assert sum(lengths(pl.label_distribution(adata, show=False))) == adata.n_obs - 10
    ax = pl.label_distribution(adata, groupby="donor", normalize=False, show=False)
    assert sum(lengths(ax)) == adata.n_obs - 50


def test_what_comes_back_and_what_stays(adata):
    before = adata.copy()
    for more in ({}, {"groupby": "donor"}, {"labels_key": "truth"}):
        assert isinstance(pl.label_distribution(adata, return_fig=True, **more), Figure)
        assert pl.label_distribution(adata, show=True, **more) is None
        ax = Figure().add_subplot()
        assert pl.label_distribution(adata, ax=ax, show=False, **more) is ax
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns) == list(before.uns)


def test_errors(adata):
    with pytest.raises(ValueError, match="not both"):
        pl.label_distribution(adata, groupby="donor", labels_key="truth")
    for wrong in ({"groupby": "x"}, {"labels_key": "x"}, {"key": "x"}):
        with pytest.raises(KeyError, match=r"='x'` is not a column of `adata.obs`"):
            pl.label_distribution(adata, **wrong)
