import warnings

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sims_tools import pl, tl
from sims_tools.confidence import risk_coverage_area, risk_coverage_curve


def right(adata):
    return adata.obsm["sims_prob"].argmax(1) == adata.obs["truth"].cat.codes.to_numpy()


@pytest.fixture
def novel(adata):
    """Cells of a class that the model does not know, and a score that tells them."""
    adata.obs["truth"] = adata.obs["truth"].cat.rename_categories({"class 3": "alien"})
    rng = np.random.default_rng(0)
    adata.obs["sims_novelty"] = (rng.random(240) + (adata.obs["truth"] == "alien")).astype(np.float32)
    return adata


@pytest.fixture
def two(adata):
    """Two annotations of the same cells, the second with an awkward name and an evaluation of its own."""
    rng = np.random.default_rng(1)
    prob = adata.obsm["sims_prob"] + rng.random((240, 4)).astype(np.float32)
    adata.obsm["_$x_1$_prob"] = prob / prob.sum(1, keepdims=True)
    names = adata.uns["sims"]["classes"]
    adata.obs["_$x_1$"] = pd.Categorical.from_codes(prob.argmax(1), names)
    adata.uns["_$x_1$"] = {"classes": names}
    return adata


def words(ax):
    return [] if ax.get_legend() is None else [text.get_text() for text in ax.get_legend().get_texts()]


def test_the_curve_and_its_area(adata):
    ax = pl.risk_coverage(adata, "truth", show=False)
    confidence = adata.obsm["sims_prob"].max(1)
    curve = risk_coverage_curve(confidence, right(adata))
    assert len(ax.lines) == 1
    np.testing.assert_allclose(ax.lines[0].get_xdata(), curve["coverage"])
    np.testing.assert_allclose(ax.lines[0].get_ydata(), curve["risk"])
    assert ax.get_title("left") == f"AURC {risk_coverage_area(confidence, right(adata)):.3f}"
    assert ax.get_title("right") == "240 cells"
    assert words(ax) == []


@pytest.mark.parametrize("cells", ["all", "known"])
def test_by_confidence_and_by_novelty(novel, cells):
    ax = pl.risk_coverage(novel, "truth", cells=cells, show=False)
    chosen = (novel.obs["truth"] != "alien").to_numpy() | (cells == "all")
    hits = right(novel) & (novel.obs["truth"] != "alien").to_numpy()
    scores = {"confidence": novel.obsm["sims_prob"].max(1), "novelty": -novel.obs["sims_novelty"].to_numpy()}
    expected = []
    for line, (by, score) in zip(ax.lines, scores.items(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), risk_coverage_curve(score[chosen], hits[chosen])["risk"])
        expected.append(f"by {by} (AURC {risk_coverage_area(score[chosen], hits[chosen]):.3f})")
    assert words(ax) == expected
    assert [line.get_linestyle() for line in ax.lines] == ["-", "--"]
    assert ax.get_title("right") == f"{chosen.sum()} cells"


def test_several_annotations(two):
    ax = pl.risk_coverage(two, "truth", key=["sims", "_$x_1$"], show=False)
    assert [word.split(" (")[0] for word in words(ax)] == ["sims", "_$x_1$"]
    assert not any(text.get_parse_math() for text in ax.get_legend().get_texts())
    assert len({line.get_color() for line in ax.lines}) == 2
    assert len(pl.risk_coverage(two, "truth", key=["sims", "sims"], show=False).lines) == 1
    two.obs["sims_novelty"] = np.arange(240, dtype=np.float32)
    ax = pl.risk_coverage(two, "truth", key=["sims", "_$x_1$"], show=False)
    assert [word.split(" (")[0] for word in words(ax)] == ["sims, by confidence", "sims, by novelty", "_$x_1$"]
    assert ax.lines[0].get_color() == ax.lines[1].get_color() != ax.lines[2].get_color()


def test_what_is_stored_is_drawn_for_each_annotation(two):
    for key in ("sims", "_$x_1$"):
        tl.evaluate(two, "truth", key=key)
    expected = [two.uns[key]["evaluation"]["risk_coverage"]["risk"] for key in ("sims", "_$x_1$")]
    del two.obs["truth"]
    ax = pl.risk_coverage(two, key=["sims", "_$x_1$"], show=False)
    for line, risk in zip(ax.lines, expected, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), risk)


def test_the_scale_is_not_that_of_the_first_few_cells(make):
    adata = make(4, n_obs=1000)
    adata.obs["truth"] = adata.obs["sims"].copy()
    surest = int(adata.obsm["sims_prob"].max(1).argmax())
    adata.obs.iloc[surest, adata.obs.columns.get_loc("truth")] = "class 3"
    adata.obsm["sims_prob"][surest] = [1, 0, 0, 0]
    adata.obs["sims"] = pd.Categorical.from_codes(adata.obsm["sims_prob"].argmax(1), adata.uns["sims"]["classes"])
    ax = pl.risk_coverage(adata, "truth", show=False)
    assert ax.lines[0].get_ydata()[0] == 1
    assert ax.get_ylim()[1] < 0.1


def test_what_comes_back_and_what_stays(adata):
    before = adata.copy()
    assert isinstance(pl.risk_coverage(adata, "truth", return_fig=True), Figure)
    assert pl.risk_coverage(adata, "truth", show=True) is None
    ax = Figure().add_subplot()
    assert pl.risk_coverage(adata, "truth", ax=ax, show=False) is ax
    ax = pl.risk_coverage(adata[:1], "truth", show=False)
    assert (ax.lines[0].get_marker(), ax.get_title("right")) == ("o", "1 cells")
    pd.testing.assert_frame_equal(adata.obs, before.obs)
    assert list(adata.uns["sims"]) == list(before.uns["sims"])


@pytest.mark.parametrize("n_keys", [1, 2, 12])
@pytest.mark.parametrize("n_obs", [4, 600])
def test_text_is_whole_and_apart(make, long, n_keys, n_obs):
    adata = make(4, n_obs=n_obs)
    keys = ["sims", *(name.replace("/", " ") for name in long(n_keys - 1))]
    for key in keys[1:]:
        adata.obsm[f"{key}_prob"], adata.uns[key] = adata.obsm["sims_prob"], {"classes": adata.uns["sims"]["classes"]}
        adata.obs[key] = adata.obs["sims"]
    for key in keys:
        adata.obs[f"{key}_novelty"] = np.arange(n_obs, dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = pl.risk_coverage(adata, "truth", key=keys, return_fig=True)
        figure.canvas.draw()
    ax = figure.axes[0]
    texts = [ax._right_title, ax.xaxis.label, ax.yaxis.label, *ax.get_legend().get_texts()]
    low, high = ax.get_ylim()
    texts += [label for label in ax.get_yticklabels() if low <= label.get_position()[1] <= high]
    texts += [label for label in ax.get_xticklabels() if 0 <= label.get_position()[0] <= 1]
    found = [each.get_window_extent() for each in texts]
    width, height = figure.get_size_inches() * figure.dpi
    for rank, box in enumerate(found):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
        assert not any(box.overlaps(other) for other in found[rank + 1 :])


def test_errors(adata):
    with pytest.raises(KeyError, match=r"has no 'evaluation'. Run `sims.tl.evaluate.*or pass `labels_key`"):
        pl.risk_coverage(adata)
    with pytest.raises(KeyError, match="key='other'"):
        pl.risk_coverage(adata, "truth", key=["sims", "other"])
    with pytest.raises(ValueError, match="`key` is empty"):
        pl.risk_coverage(adata, "truth", key=[])
    with pytest.raises(ValueError, match="`cells='novel'` is not one of 'all', 'known'"):
        pl.risk_coverage(adata, "truth", cells="novel")
