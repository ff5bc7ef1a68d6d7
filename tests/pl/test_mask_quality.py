"""The figure of mask quality, from tables like those that `tl.evaluate_masks` writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from sims_tools import pl

RANKINGS = {"masks": 0.9, "cell_masks": 1.0, "logistic": 0.6, "differential": 0.5, "matched": 0.15, "random": 0.05}
LENGTHS = (5, 10, 20, 50)
FAMILIES = ("ribosomal", "mitochondrial", "dissociation", "heat_shock")


def quality(names: list[str], *, stability: bool = True, given: bool = False, families: bool = True) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    rows = [
        {"class": name, "ranking": "none", "action": "none", "n_genes": 0, "repeat": 0, "accuracy": 0.9}
        for name in names
    ]
    for ranking, strength in RANKINGS.items():
        for repeat in range(3 if ranking in ("matched", "random") else 1):
            for length in LENGTHS:
                for name in names:
                    lost = strength * (1 - np.exp(-length / 15)) + 0.05 * rng.random()
                    about = {"class": name, "ranking": ranking, "n_genes": length, "repeat": repeat}
                    rows.append({**about, "action": "deleted", "accuracy": 0.9 - 0.8 * lost})
                    rows.append({**about, "action": "kept", "accuracy": 0.1 + 0.8 * lost})
    by_class = pd.DataFrame(rows)
    by_class["class"] = pd.Categorical(by_class["class"], categories=names)
    keys = ["ranking", "action", "n_genes", "repeat"]
    tables = {
        "params": {"n_top": 20},
        "faithfulness": by_class.groupby(keys, observed=True, as_index=False)["accuracy"].mean(),
        "faithfulness_by_class": by_class,
        "agreement": pd.DataFrame(
            [
                {"class": name, "source": source, "auroc": 0.6 + 0.4 * rng.random()}
                for source in ("differential", *(("given",) if given else ()))
                for name in names
            ]
        ),
        "families": pd.DataFrame(
            [
                {"class": name, "family": family, "share": 0.2 * rng.random() ** 3}
                for name in names
                for family in FAMILIES
            ]
            if families
            else [],
            columns=["class", "family", "share"],
        ),
    }
    if stability:
        tables["stability"] = pd.DataFrame(
            {
                "class": names,
                "n_models": 3,
                "jaccard": 0.3 + 0.6 * rng.random(len(names)),
                "spearman": 0.4 + 0.6 * rng.random(len(names)),
            }
        )
    return tables


def holding(tables: dict[str, Any]) -> ad.AnnData:
    return ad.AnnData(np.zeros((2, 1)), uns={"sims": {"classes": np.array(["a"]), "mask_quality": tables}})


@pytest.fixture
def adata() -> ad.AnnData:
    return holding(quality(["T cell", "B cell", "CD4+/CD8"], given=True))


def titles(axes: list[Any]) -> list[str]:
    return [ax.get_title(loc="left") for ax in axes]


def test_every_table_has_its_panel(adata):
    axes = pl.mask_quality(adata, show=False)
    assert titles(axes) == [
        "accuracy without the genes", "with them alone", "accuracy lost", "stability, 3 models",
        "agreement with markers", "share of the mask",
    ]  # fmt: skip
    assert [label.get_text() for label in axes[2].get_yticklabels()] == ["T cell", "B cell", "CD4+/CD8"]


def test_what_was_not_measured_is_left_out():
    axes = pl.mask_quality(holding(quality(["a", "b"], stability=False, families=False)), show=False)
    assert titles(axes)[2:] == ["accuracy lost", "agreement with markers"]


def test_curves_are_the_table(adata):
    deleted, kept = pl.mask_quality(adata, show=False)[:2]
    table = adata.uns["sims"]["mask_quality"]["faithfulness"]
    for ax, action in ((deleted, "deleted"), (kept, "kept")):
        drawn = [line.get_ydata() for line in ax.lines]
        for ranking in RANKINGS:
            part = table[(table["action"] == action) & (table["ranking"] == ranking)]
            mean = part.groupby("n_genes")["accuracy"].mean().to_numpy()
            assert any(len(line) == len(mean) and np.allclose(line, mean) for line in drawn), (action, ranking)
        assert [label.get_text() for label in ax.get_xticklabels()] == ["5", "10", "20", "50"]
        assert len(ax.collections) == 2, "bands of the two that were drawn at random"


@pytest.mark.parametrize(("asked", "shown"), [(None, 20), (5, 5)])
def test_accuracy_lost_is_the_difference(adata, asked, shown):
    ax = pl.mask_quality(adata, n_genes=asked, show=False)[2]
    table = adata.uns["sims"]["mask_quality"]["faithfulness_by_class"]
    part = table.query(f"ranking == 'masks' and action == 'deleted' and n_genes == {shown}")
    masks = max((dots for dots in ax.collections if len(dots.get_offsets()) == 3), key=lambda dots: dots.get_zorder())
    np.testing.assert_allclose(masks.get_offsets()[:, 0], 0.9 - part["accuracy"])
    np.testing.assert_allclose(masks.get_offsets()[:, 1], [0, 1, 2])
    assert f"first {shown} genes" in ax.get_xlabel()


def test_classes_keep_their_order_in_every_panel(adata):
    tables = adata.uns["sims"]["mask_quality"]
    before = pl.mask_quality(adata, show=False)
    for name in ("stability", "agreement", "families"):
        tables[name] = tables[name].iloc[::-1]
    after = pl.mask_quality(adata, show=False)
    for one, other in zip(before[3:5], after[3:5], strict=True):
        for dots, again in zip(one.collections[-2:], other.collections[-2:], strict=True):
            np.testing.assert_allclose(dots.get_offsets(), again.get_offsets())
    np.testing.assert_allclose(before[5].images[0].get_array(), after[5].images[0].get_array()[:, ::-1])


@pytest.mark.parametrize(("count", "named"), [(2, "short"), (2, "long"), (20, "long"), (60, "short")])
def test_nothing_is_cut_off_and_no_words_overlap(long: Callable[[int], list[str]], count, named):
    names = long(count) if named == "long" else [f"c{rank}" for rank in range(count)]
    figure = pl.mask_quality(holding(quality(names, given=True)), return_fig=True)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    whole = figure.bbox
    boxes = []
    for ax in figure.axes:
        texts = [ax.title, ax._left_title, ax.xaxis.label, *ax.texts]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
            texts += [tick.label2 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
        boxes += [text.get_window_extent(renderer) for text in texts if text.get_text() and text.get_visible()]
    boxes += [text.get_window_extent(renderer) for legend in figure.legends for text in legend.get_texts()]
    assert len(boxes) > count
    for rank, box in enumerate(boxes):
        assert box.x0 >= whole.x0
        assert box.x1 <= whole.x1
        assert box.y0 >= whole.y0
        assert box.y1 <= whole.y1
        for other in boxes[rank + 1 :]:
            wide = min(box.x1, other.x1) - max(box.x0, other.x0)
            high = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert wide <= 1 or high <= 1.5, "two words overlap"


def test_what_comes_back_and_what_stays(adata):
    before = {name: table.copy() for name, table in adata.uns["sims"]["mask_quality"].items()}
    assert isinstance(pl.mask_quality(adata, return_fig=True), Figure)
    assert pl.mask_quality(adata, show=True) is None
    for name, table in adata.uns["sims"]["mask_quality"].items():
        if name != "params":
            pd.testing.assert_frame_equal(table, before[name])


def test_one_class_measured_once_and_scores_that_are_missing(adata):
    tables = quality(["only"], given=True)
    tables["agreement"].loc[0, "auroc"] = np.nan
    tables["stability"].loc[0, "spearman"] = np.nan
    assert len(pl.mask_quality(holding(tables), show=False)) == 6


def test_errors(adata):
    with pytest.raises(KeyError, match="'other' is not in `adata.uns`"):
        pl.mask_quality(adata, key="other")
    with pytest.raises(ValueError, match=r"n_genes=7.*'5', '10', '20', '50'"):
        pl.mask_quality(adata, n_genes=7)
    del adata.uns["sims"]["mask_quality"]
    with pytest.raises(KeyError, match=r"no 'mask_quality'.*evaluate_masks"):
        pl.mask_quality(adata)
