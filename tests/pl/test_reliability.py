import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from sims_tools import pl, tl
from sims_tools.confidence import calibration_error, reliability_table


def codes(adata):
    return adata.obs["truth"].cat.codes.to_numpy().astype(int)


def points(ax):
    return next(line for line in ax.lines if line.get_label() == "bins")


def track(ax):
    return ax.child_axes[0]


@pytest.mark.parametrize("n_bins", [None, 4])
def test_points_intervals_and_numbers(adata, n_bins):
    ax = pl.reliability(adata, "truth", n_bins=n_bins, show=False)
    table = reliability_table(adata.obsm["sims_prob"], codes(adata), n_bins=n_bins or 15)
    table = table[table["n"] > 0]
    assert len(table) > 1
    np.testing.assert_allclose(points(ax).get_xdata(), table["confidence"])
    np.testing.assert_allclose(points(ax).get_ydata(), table["accuracy"])
    ends = [segment[:, 1] for segment in ax.collections[0].get_segments()]
    np.testing.assert_allclose(ends, table[["accuracy_low", "accuracy_high"]])
    assert [bar.get_height() for bar in track(ax).patches] == table["n"].tolist()
    error = calibration_error(adata.obsm["sims_prob"], codes(adata), n_bins=n_bins or 15)
    assert ax.get_title("left") == f"ECE {error:.3f}"
    assert ax.get_title("right") == "240 cells"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("confidence", "accuracy")


def test_the_numbers_of_cells_stand_below_their_bins(adata):
    ax = pl.reliability(adata, "truth", show=False)
    ax.figure.canvas.draw()
    for bar in track(ax).patches:
        below = ax.transData.inverted().transform(bar.get_window_extent())
        inside = [low <= x <= high for low, high in [below[:, 0]] for x in points(ax).get_xdata()]
        assert sum(inside) == 1
        assert below[1, 1] < 0
    assert track(ax).get_yticks().tolist() == [0, max(bar.get_height() for bar in track(ax).patches)]


def test_what_is_stored_is_drawn(adata):
    adata.obs["truth"] = adata.obs["truth"].where(np.arange(240) % 5 > 0)
    tl.evaluate(adata, "truth", n_bins=6)
    stored = adata.uns["sims"]["evaluation"]["reliability"]
    stored = stored[stored["n_cells"] > 0]
    del adata.obs["truth"]  # it is not looked at
    ax = pl.reliability(adata, show=False)
    np.testing.assert_array_equal(points(ax).get_ydata(), stored["accuracy"])
    assert ax.get_title("right") == "192 cells"
    with pytest.raises(KeyError, match="labels_key='truth'"):
        pl.reliability(adata, n_bins=5)


def test_other_bins_and_other_labels_than_those_stored(adata):
    adata.obs["?"] = adata.obs["truth"].cat.rename_categories({"class 3": "?"})
    tl.evaluate(adata, "?", unlabeled_category="?")
    fewer = (adata.obs["truth"] != "class 3").sum()
    ax = pl.reliability(adata, n_bins=3, show=False)
    assert ax.get_title("right") == f"{fewer} cells"
    assert len(track(ax).patches) <= 3
    assert pl.reliability(adata, "truth", show=False).get_title("right") == "240 cells"


def test_novel_cells_are_left_out(adata):
    adata.obs["truth"] = adata.obs["truth"].cat.rename_categories({"class 3": "alien"})
    ax = pl.reliability(adata, "truth", show=False)
    assert ax.get_title("right") == f"{(adata.obs['truth'] != 'alien').sum()} cells"


def test_what_comes_back_and_what_stays(adata):
    before = adata.copy()
    assert isinstance(pl.reliability(adata, "truth", return_fig=True), Figure)
    assert pl.reliability(adata, "truth", show=True) is None
    ax = Figure().add_subplot()
    assert pl.reliability(adata, "truth", ax=ax, show=False) is ax
    assert pl.reliability(adata[:50], "truth", show=False).get_title("right") == "50 cells"
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns["sims"]) == list(before.uns["sims"])


@pytest.mark.parametrize(("n_classes", "n_obs"), [(2, 2), (2, 300), (20, 700), (20, 1_100_000)])
def test_text_is_whole_and_apart(make, n_classes, n_obs):
    adata = make(n_classes, n_obs=min(n_obs, 2000))
    if n_obs > 2000:  # as if there were so many
        tl.evaluate(adata, "truth")
        adata.uns["sims"]["evaluation"]["reliability"]["n_cells"] *= n_obs // 2000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = pl.reliability(adata, None if n_obs > 2000 else "truth", return_fig=True)
        figure.canvas.draw()
    ax = figure.axes[0]
    inner = track(ax)
    texts = [ax.title, ax._left_title, ax._right_title, ax.xaxis.label, ax.yaxis.label, inner.yaxis.label]
    texts += [*ax.get_xticklabels(), *ax.get_yticklabels(), *inner.get_yticklabels()]
    found = [each.get_window_extent() for each in texts if isinstance(each, Text) and each.get_text()]
    width, height = figure.get_size_inches() * figure.dpi
    for rank, box in enumerate(found):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in found[rank + 1 :])


def test_errors(adata):
    with pytest.raises(KeyError, match=r"has no 'evaluation'. Run `sims.tl.evaluate.*or pass `labels_key`"):
        pl.reliability(adata)
    with pytest.raises(KeyError, match=r"labels_key='thruth'.*Did you mean 'truth'"):
        pl.reliability(adata, "thruth")
    with pytest.raises(KeyError, match="key='other'"):
        pl.reliability(adata, "truth", key="other")
    with pytest.raises(ValueError, match="`n_bins=0` must be a whole number above 0"):
        pl.reliability(adata, "truth", n_bins=0)
