import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sims_tools import pl


@pytest.fixture
def called(make):
    """Six cells: three true labels, one of them foreign to the model, one missing."""
    adata = make(4)[:6].copy()
    adata.obs["sims"] = pd.Categorical(
        ["class 0", "class 0", "class 2", "Unknown", "class 2", "class 1"],
        categories=["class 0", "class 1", "class 2", "class 3", "Unknown"],
    )
    adata.obs["truth"] = pd.Categorical(["class 2", "class 0", "class 2", "alien", "alien", None])
    return adata


def names(ax):
    return [[label.get_text() for label in axis.get_ticklabels()] for axis in (ax.yaxis, ax.xaxis)]


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        (None, [[1, 0, 0], [1, 1, 0], [0, 1, 1]]),
        ("true", [[1, 0, 0], [0.5, 0.5, 0], [0, 0.5, 0.5]]),
        ("pred", [[0.5, 0, 0], [0.5, 0.5, 0], [0, 0.5, 1]]),
        ("all", [[0.2, 0, 0], [0.2, 0.2, 0], [0, 0.2, 0.2]]),
    ],
)
def test_values_and_order(called, normalize, expected):
    ax = pl.confusion_matrix(called, "truth", normalize=normalize, show=False)
    assert names(ax) == [["class 0", "class 2", "alien"], ["class 0", "class 2", "Unknown"]]
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("true", "predicted")


def test_a_class_that_is_never_predicted_keeps_its_column(called):
    called.obs["truth"] = pd.Categorical(["class 3"] * 6)
    ax = pl.confusion_matrix(called, "truth", show=False)
    assert names(ax) == [["class 3"], ["class 0", "class 1", "class 2", "class 3", "Unknown"]]
    called.obs["truth"] = pd.Categorical(["alien", "Unknown", "class 1", "class 0", "class 0", "class 0"])
    assert names(pl.confusion_matrix(called, "truth", show=False))[0] == ["class 0", "class 1", "alien", "Unknown"]


def test_labels_that_are_plain_strings(called):
    called.obs["truth"] = ["b", "a", "b", "class 1", "a", "class 0"]
    called.obs["sims"] = called.obs["sims"].astype(str)
    ax = pl.confusion_matrix(called, "truth", show=False)
    assert names(ax)[0] == ["class 0", "class 1", "a", "b"]


@pytest.mark.parametrize(("n_classes", "numbered"), [(2, True), (20, True), (21, False)])
def test_numbers_only_while_they_can_be_read(make, n_classes, numbered):
    ax = pl.confusion_matrix(make(n_classes, n_obs=600, unknown=True), "truth", show=False)
    assert bool(ax.texts) == numbered
    if numbered:
        values = np.asarray(ax.images[0].get_array())
        assert len(ax.texts) == (values > 0).sum()
        assert ax.texts[0].get_text() == f"{values[0, 0]:.2f}"


def test_what_comes_back_and_what_stays(called, make):
    before = called.copy()
    assert isinstance(pl.confusion_matrix(called, "truth", return_fig=True), Figure)
    assert pl.confusion_matrix(called, "truth", show=True) is None
    ax = Figure().add_subplot()
    assert pl.confusion_matrix(called, "truth", ax=ax, show=False) is ax
    pd.testing.assert_frame_equal(called.obs, before.obs)
    assert list(called.uns) == list(before.uns)


def test_errors(called):
    with pytest.raises(KeyError, match=r"labels_key='thruth'.*Did you mean 'truth'"):
        pl.confusion_matrix(called, "thruth")
    with pytest.raises(KeyError, match="key='other'"):
        pl.confusion_matrix(called, "truth", key="other")
    with pytest.raises(ValueError, match="normalize='rows'"):
        pl.confusion_matrix(called, "truth", normalize="rows")
    called.obs["truth"] = pd.Categorical([None] * 6, categories=["a"])
    with pytest.raises(ValueError, match="No cell has both"):
        pl.confusion_matrix(called, "truth")


def test_lines_of_the_users_style_do_not_cross_the_matrix(called):
    with mpl.rc_context({"axes.grid": True}):
        axes = pl.confusion_matrix(called, "truth", show=False)
        assert not any(line.get_visible() for line in (*axes.get_xgridlines(), *axes.get_ygridlines()))
