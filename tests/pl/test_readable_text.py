"""No text is cut off and no text covers another, whether there are 2 classes, 20, or 60 with names of 60 characters."""

import warnings
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from sims_tools import pl

PICTURES = {
    "umap": lambda adata: pl.feature_masks(adata, n_genes=1, return_fig=True),
    "heatmap": lambda adata: pl.feature_masks(adata, kind="heatmap", return_fig=True),
    "cells": lambda adata: pl.feature_masks(adata, kind="cells", return_fig=True),
    "bar": lambda adata: pl.feature_masks(adata, kind="bar", return_fig=True),
    "confusion": lambda adata: pl.confusion_matrix(adata, "truth", return_fig=True),
    "counts": lambda adata: pl.confusion_matrix(adata, "truth", normalize=None, return_fig=True),
    "distribution": lambda adata: pl.label_distribution(adata, return_fig=True),
    "stacked": lambda adata: pl.label_distribution(adata, groupby="donor", return_fig=True),
    "true": lambda adata: pl.label_distribution(adata, labels_key="truth", return_fig=True),
}


def off_the_axis(figure):
    """Tick labels that exist and are not drawn, being outside the view."""
    for ax in figure.findobj(Axes):
        for axis in (ax.xaxis, ax.yaxis):
            if not ax.axison:
                yield axis.label
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                if not low - 1e-9 <= tick.get_loc() <= high + 1e-9 or not ax.axison:
                    yield from (tick.label1, tick.label2)


def boxes(figure):
    figure.canvas.draw()
    idle = set(off_the_axis(figure))
    texts = [
        text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip() and text not in idle
    ]
    return [(text.get_text(), text.get_window_extent()) for text in texts]


def overlapping(found):
    for (one, a), (other, b) in combinations(found, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        if width > 1 and height > 0.25 * min(a.height, b.height) and width > 0.25 * min(a.width, b.width):
            yield one, other


@pytest.mark.parametrize("picture", PICTURES)
@pytest.mark.parametrize("n_classes", [2, 20, 60])
def test_text_is_whole_and_apart(make, long, picture, n_classes):
    names = long(60) if n_classes == 60 else None
    adata = make(n_classes, n_obs=700, names=names, unknown=n_classes > 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", PendingDeprecationWarning)  # scanpy's own, about matplotlib
        figure = PICTURES[picture](adata)
        found = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    cut = [text for text, box in found if box.x0 < -1 or box.y0 < -1 or box.x1 > width + 1 or box.y1 > height + 1]
    assert cut == []
    assert list(overlapping(found)) == []
    assert max(figure.get_size_inches()) < 25


@pytest.mark.parametrize("n_classes", [2, 60])
@pytest.mark.parametrize("n_genes", [1, 6])
def test_the_legend_stands_beside_the_panels(make, long, n_classes, n_genes):
    adata = make(n_classes, n_obs=300, names=long(n_classes))
    figure = pl.feature_masks(adata, n_genes=n_genes, return_fig=True)
    figure.canvas.draw()
    legend = figure.legends[0].get_window_extent()
    assert max(ax.get_tightbbox().x1 for ax in figure.axes) < legend.x0
    assert legend.x1 < figure.bbox.width
    assert legend.y0 > 0


def test_names_that_a_legend_or_mathtext_would_mangle(make):
    names = ["_hidden", "CD4$+$CD8$+$", "T/NK", "ü–ß", "100%"]
    adata = make(5, names=names)
    for figure in (
        pl.feature_masks(adata, n_genes=1, return_fig=True),
        pl.label_distribution(adata, groupby="donor", return_fig=True),
    ):
        legend = (figure.legends or [figure.axes[0].get_legend()])[0]
        assert [text.get_text() for text in legend.get_texts()] == names
        assert all(handle.get_visible() for handle in legend.legend_handles)
        figure.canvas.draw()
    for kind in ("heatmap", "cells"):
        figure = pl.feature_masks(adata, kind=kind, return_fig=True)
        figure.canvas.draw()
        assert all(
            not text.get_parse_math() for text in figure.findobj(Text) if text.get_visible() and "$" in text.get_text()
        )


def test_in_small_axes_of_the_users_own_some_names_are_left_out(make):
    adata = make(60, n_obs=700)
    figure, ax = plt.subplots(figsize=(3, 2))
    pl.confusion_matrix(adata, "truth", ax=ax, show=False)
    shown = [text.get_text() for text in ax.get_yticklabels()]
    assert 10 < len(shown) < 40
    assert shown[0] == "class 0"
    assert np.allclose(figure.get_size_inches(), (3, 2))
