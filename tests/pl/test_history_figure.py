import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from sims_tools import pl


def lines(ax):
    return {line.get_label(): line for line in ax.lines}


def test_panels_and_lines(adata):
    axes = pl.training_history(adata, show=False)
    assert [ax.get_title() for ax in axes] == ["loss", "accuracy", "balanced accuracy", "macro F1"]
    history = adata.uns["sims"]["history"]
    drawn = lines(axes[1])
    np.testing.assert_array_equal(drawn["train"].get_ydata(), history["accuracy_train"])
    np.testing.assert_array_equal(drawn["validation"].get_xdata(), history["epoch"])
    best = int(np.argmax(history["accuracy_validation"]))
    for ax in axes:
        assert lines(ax)[f"best epoch ({best})"].get_xdata()[0] == best


def test_best_epoch_by_loss_where_accuracy_was_not_measured(adata):
    history = adata.uns["sims"]["history"]
    history["accuracy_validation"][:] = np.nan
    axes = pl.training_history(adata, show=False)
    best = int(np.argmin(history["validation_loss"]))
    assert set(lines(axes[0])) == {"train", "validation", f"best epoch ({best})"}
    assert set(lines(axes[1])) == {"train", f"best epoch ({best})"}


@pytest.mark.parametrize(("monitor", "curve"), [("macro_f1", "macro_f1_validation"), ("validation_loss", None)])
def test_best_epoch_by_what_training_monitored(adata, monitor, curve):
    adata.uns["sims"]["params"] = {"training": {"monitor": monitor}}
    history = adata.uns["sims"]["history"]
    history["macro_f1_validation"][7] = 2
    best = int(np.argmin(history["validation_loss"])) if curve is None else 7
    assert f"best epoch ({best})" in lines(pl.training_history(adata, show=False)[0])


def test_gaps_are_bridged(adata):
    history = adata.uns["sims"]["history"]
    history["accuracy_validation"][::2] = np.nan
    drawn = lines(pl.training_history(adata, metrics=["accuracy"], show=False)[0])
    assert len(drawn["validation"].get_xdata()) == 15


def test_without_validation(adata, make_history):
    adata.uns["sims"]["history"] = make_history(5, validation=False)
    axes = pl.training_history(adata, show=False)
    assert all(set(lines(ax)) == {"train"} for ax in axes)


def test_one_epoch_is_a_point(adata, make_history):
    adata.uns["sims"]["history"] = make_history(1)
    axes = pl.training_history(adata, show=False)
    assert lines(axes[0])["train"].get_marker() == "o"
    assert axes[0].get_xlim() == (-1, 1)


def test_chosen_metrics_and_given_axes(adata):
    axes = pl.training_history(adata, metrics=["median_f1", "loss", "accuracy", "weighted_f1", "macro_f1"], show=False)
    assert len(axes) == 5
    ax = plt.figure().add_subplot()
    assert pl.training_history(adata, metrics=["loss"], ax=ax, show=False) == [ax]
    assert isinstance(pl.training_history(adata, return_fig=True), Figure)
    assert pl.training_history(adata, show=True) is None


def test_errors(adata):
    with pytest.raises(ValueError, match=r"metrics='acuracy'.*Did you mean 'accuracy'"):
        pl.training_history(adata, metrics=["acuracy"])
    with pytest.raises(ValueError, match="one metric"):
        pl.training_history(adata, ax=plt.figure().add_subplot())
    with pytest.raises(ValueError, match="empty"):
        pl.training_history(adata, metrics=[])
    with pytest.raises(KeyError, match="sims_train"):
        pl.training_history(adata, key="other")
    del adata.uns["sims"]["history"]
    with pytest.raises(KeyError, match="no 'history'.*sims_train"):
        pl.training_history(adata)
