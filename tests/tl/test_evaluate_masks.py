"""Mask quality: planted markers are what calls rest on, and nothing else of the object changes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims

QUIET: dict[str, Any] = {"progress_bar": False}
BRIEF: dict[str, Any] = {"n_genes": (10,), "against": (), **QUIET}
"""The fewest runs of the model."""

TABLES = {"params", "faithfulness", "faithfulness_by_class", "agreement", "families"}


@pytest.fixture(scope="module")
def settled(planted: ad.AnnData) -> Any:
    """Trained until its masks have settled; never train it further."""
    return sims.tl.sims_train(
        planted.copy(), "cell_type", max_epochs=60, learning_rate=0.02, weight_average=0.9,
        n_d=8, n_a=8, n_members=1, batch_size=32, **QUIET,
    )  # fmt: skip


@pytest.fixture(scope="module")
def once(planted: ad.AnnData, model: Any) -> ad.AnnData:
    """The planted cells, annotated; never change them."""
    adata = planted.copy()
    sims.tl.annotate(adata, model, **QUIET)
    return adata


@pytest.fixture
def annotated(once: ad.AnnData) -> ad.AnnData:
    return once.copy()


@pytest.fixture(scope="module")
def explained(planted: ad.AnnData, settled: Any) -> ad.AnnData:
    """The planted cells, annotated by it; never change them."""
    adata = planted.copy()
    sims.tl.annotate(adata, settled, **QUIET)
    return adata


@pytest.fixture(scope="module")
def measured(explained: ad.AnnData, settled: Any) -> dict[str, Any]:
    """Everything that can be measured, with the planted markers and the same model twice."""
    markers = {name: list(explained.var_names[explained.var["marker_of"] == name]) for name in settled.classes}
    done = sims.tl.evaluate_masks(
        explained,
        settled,
        "cell_type",
        n_genes=(5, 10, 50, 99),
        retrained=[settled],
        markers=markers,
        n_top=10,
        copy=True,
        **QUIET,
    )
    return done.uns["sims"]["mask_quality"]


def quality(adata: ad.AnnData) -> dict[str, Any]:
    return adata.uns["sims"]["mask_quality"]


def _accuracy(table: pd.DataFrame, ranking: str, action: str, n_genes: int) -> float:
    rows = table[(table["ranking"] == ranking) & (table["action"] == action) & (table["n_genes"] == n_genes)]
    assert len(rows) == (3 if ranking in ("random", "matched") else 1)
    return float(rows["accuracy"].mean())


# --- what is measured -------------------------------------------------------------------------------------------------


def test_deleting_what_masks_name_costs_more_than_random_genes(measured):
    table = measured["faithfulness"]
    whole = table.iloc[0]
    assert (whole["ranking"], whole["action"], whole["n_genes"]) == ("none", "none", 0)
    assert whole["accuracy"] > 0.95
    for own in ("masks", "cell_masks"):
        assert _accuracy(table, own, "deleted", 10) < whole["accuracy"] - 0.4, own
        assert _accuracy(table, own, "kept", 10) > 0.9, own
    for other in ("logistic", "differential"):  # markers of a class are redundant, and this network need not read these
        assert _accuracy(table, other, "deleted", 10) >= _accuracy(table, "masks", "deleted", 10), other
        assert _accuracy(table, other, "kept", 10) > 0.9, other
    for drawn in ("random", "matched"):
        assert _accuracy(table, drawn, "deleted", 10) > _accuracy(table, "masks", "deleted", 10) + 0.2, drawn
        assert _accuracy(table, drawn, "kept", 10) < _accuracy(table, "masks", "kept", 10) - 0.1, drawn


def test_numbers_that_the_model_does_not_have_are_passed_over(measured):
    table = measured["faithfulness"]
    assert set(table.loc[table["ranking"] == "masks", "n_genes"]) == {5, 10, 50}
    assert list(measured["params"]["n_genes"]) == [5, 10, 50]
    matched = table.loc[table["ranking"] == "matched", "n_genes"]
    assert set(matched) == {5, 10}, "ten genes are outside the fifty of the masks"


def test_the_whole_is_the_mean_over_classes_weighted_by_cells(measured):
    keys = ["ranking", "action", "n_genes", "repeat"]
    parts = measured["faithfulness_by_class"]
    for about, part in parts.groupby(keys, observed=True):
        rows = measured["faithfulness"]
        row = rows[np.logical_and.reduce([rows[name] == value for name, value in zip(keys, about, strict=True)])]
        assert row["accuracy"].item() == pytest.approx(np.average(part["accuracy"], weights=part["n_cells"]))
        assert row["balanced_accuracy"].item() == pytest.approx(part["accuracy"].mean())
        assert row["probability"].item() == pytest.approx(np.average(part["probability"], weights=part["n_cells"]))
        assert row["n_cells"].item() == part["n_cells"].sum() == 200


def test_a_gene_is_deleted_by_setting_its_counts_to_zero(annotated, model):
    """The same by hand: ten heaviest genes of the class out of the counts, the total as it was."""
    sims.tl.evaluate_masks(annotated, model, **BRIEF)
    counts, masks = annotated.X.toarray(), annotated.obsm["sims_masks"].toarray()
    called = annotated.obs["sims"]
    for name in model.classes:
        own = (called == name).to_numpy()
        counts[np.ix_(own, np.argsort(-masks[own].mean(axis=0), kind="stable")[:10])] = 0
    changed = ad.AnnData(sparse.csr_matrix(counts), var=annotated.var[[]])
    totals = np.asarray(annotated.X.sum(axis=1)).ravel()
    logits = np.concatenate([each.logits for each in model.infer(changed, totals=totals, input_kind="counts")])
    table = quality(annotated)["faithfulness"]
    assert _accuracy(table, "masks", "deleted", 10) == pytest.approx((model.classes[logits.argmax(1)] == called).mean())
    assert table["accuracy"].iloc[0] == 1, "without labels the calls are the truth"


def test_planted_markers_are_agreed_with(measured, explained):
    given = measured["agreement"].query("source == 'given'").set_index("class")
    assert (given["n_markers"] == 5).all()
    assert (given["n_found"] == 5).all()
    assert (given["n_top"] == 10).all()
    assert (given["auroc"] > 0.75).all()
    assert (given["precision"] > 2 * given["chance"]).all()
    masks = explained.obsm["sims_masks"].toarray()
    for name in given.index:
        mean = masks[(explained.obs["cell_type"] == name).to_numpy()].mean(axis=0)
        heaviest = set(explained.var_names[np.argsort(-mean)[:10]])
        overlap = len(heaviest & set(explained.var_names[explained.var["marker_of"] == name]))
        assert given.loc[name, "overlap"] == overlap
        assert given.loc[name, "precision"] == pytest.approx(overlap / 10)
        assert given.loc[name, "recall"] == pytest.approx(overlap / 5)
    assert set(measured["agreement"]["source"]) == {"differential", "given"}


def test_the_same_model_is_stable_and_another_less_so(measured, annotated, planted, model, small, folder):
    np.testing.assert_allclose(measured["stability"][["jaccard", "spearman"]], 1)
    assert (measured["stability"]["n_models"] == 2).all()
    other = sims.tl.sims_train(planted.copy(), "cell_type", max_epochs=1, n_top_genes=40, random_state=5, **small)
    sims.tl.annotate(annotated, other, key_added="other", **QUIET)
    sims.tl.evaluate_masks(annotated, model, retrained=["other", str(folder)], **BRIEF)
    by_key = quality(annotated)["stability"]
    assert (by_key["n_models"] == 3).all()
    assert (by_key["jaccard"] < 0.9).all()
    sims.tl.evaluate_masks(annotated, model, retrained=[other, folder], **BRIEF)
    pd.testing.assert_frame_equal(quality(annotated)["stability"], by_key, rtol=1e-4)
    sims.tl.evaluate_masks(annotated, model, retrained=model, **BRIEF)
    np.testing.assert_allclose(quality(annotated)["stability"]["jaccard"], 1)


def test_shares_of_families_by_symbols(annotated, model):
    symbols = pd.Series(annotated.var_names, index=annotated.var_names)
    symbols.iloc[:30] = [f"Rpl{rank}" for rank in range(3, 33)]
    symbols.iloc[30:34] = ["mt-Co1", "Fos", "Dnaja1", "HSPA1A"]
    annotated.var["symbol"] = symbols.astype("category")
    sims.tl.evaluate_masks(annotated, model, "cell_type", gene_symbols="symbol", **BRIEF)
    table = quality(annotated)["families"].set_index(["class", "family"])
    masks = annotated.obsm["sims_masks"].toarray()
    for name in model.classes:
        mean = masks[(annotated.obs["cell_type"] == name).to_numpy()].mean(axis=0)
        for family, columns in {"ribosomal": slice(30), "mitochondrial": [30], "dissociation": [31, 32, 33],
                                "heat_shock": [32, 33]}.items():  # fmt: skip
            assert table.loc[(name, family), "share"] == pytest.approx(mean[columns].sum(), abs=1e-6)
    assert table.loc[("type_0", "ribosomal"), "even_share"] == 0.5
    assert table.loc[("type_0", "dissociation"), "n_genes"] == 3


def test_few_cells_are_drawn_from_every_class_and_the_seed_decides(annotated, model):
    sims.tl.evaluate_masks(annotated, model, "cell_type", max_cells=30, **BRIEF)
    first = quality(annotated)
    sizes = first["faithfulness_by_class"].query("ranking == 'none'")["n_cells"]
    assert sizes.sum() == 30
    assert sizes.min() >= 7
    sims.tl.evaluate_masks(annotated, model, "cell_type", max_cells=30, **BRIEF)
    pd.testing.assert_frame_equal(quality(annotated)["faithfulness"], first["faithfulness"])
    sims.tl.evaluate_masks(annotated, model, "cell_type", max_cells=30, random_state=1, **BRIEF)
    assert not quality(annotated)["faithfulness"].equals(first["faithfulness"])


def test_cells_without_use_are_left_out(annotated, model):
    """Unlabelled, foreign to the model, or one of two of a class."""
    labels = annotated.obs["cell_type"].astype(object)
    labels.iloc[:10] = None
    labels.iloc[10:20] = "alien"
    rest = np.flatnonzero(labels == "type_2")
    labels.iloc[rest[2:]] = "type_1"
    annotated.obs["label"] = labels
    sims.tl.evaluate_masks(annotated, model, "label", **BRIEF)
    table = quality(annotated)["faithfulness_by_class"]
    assert set(table["class"]) == {"type_0", "type_1"}
    assert table.query("ranking == 'none'")["n_cells"].sum() == 178


def test_no_global_seed_is_left_behind(annotated, model):
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    sims.tl.evaluate_masks(annotated, model, n_genes=(5,), against=("random", "matched", "logistic"), **QUIET)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_nothing_is_warned_of(annotated, model):
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("error", category)
        sims.tl.evaluate_masks(annotated, model, n_genes=(5,), **QUIET)


# --- the object -------------------------------------------------------------------------------------------------------


def test_one_entry_is_added_in_every_storage(cells, dress, store, snapshot, changes, model):
    adata = store(dress(cells))
    sims.tl.annotate(adata, model, **QUIET)
    before, facts = snapshot(adata), dict(adata.uns["sims"])
    sims.tl.evaluate_masks(adata, model, "cell_type", **BRIEF)
    assert changes(before, snapshot(adata)) == {"uns/sims"}
    assert set(adata.uns["sims"]) == {*facts, "mask_quality"}
    assert all(adata.uns["sims"][name] is facts[name] for name in facts)
    assert set(quality(adata)) == TABLES


def test_storage_makes_no_difference(cells, store, model, annotated):
    adata = store(cells)
    sims.tl.annotate(adata, model, **QUIET)
    options = {"n_genes": (10,), "against": ("differential", "matched"), **QUIET}
    sims.tl.evaluate_masks(adata, model, "cell_type", **options)
    sims.tl.evaluate_masks(annotated, model, "cell_type", **options)
    for name in ("faithfulness", "agreement"):
        pd.testing.assert_frame_equal(quality(adata)[name], quality(annotated)[name], rtol=1e-4)


def test_a_view_becomes_an_object_of_its_own_and_its_parent_stays(annotated, dress, snapshot, changes, model):
    parent = dress(annotated)
    view = parent[::2]
    before, above = snapshot(view), snapshot(parent)
    with warnings.catch_warnings():
        for category in (UserWarning, RuntimeWarning, FutureWarning):
            warnings.simplefilter("error", category)
        sims.tl.evaluate_masks(view, model, **BRIEF)
    assert not view.is_view
    assert changes(before, snapshot(view)) == {"uns/sims"}
    assert changes(above, snapshot(parent)) == set()


def test_a_copy_leaves_the_original_alone(annotated, snapshot, changes, model):
    before = snapshot(annotated)
    done = sims.tl.evaluate_masks(annotated, model, copy=True, **BRIEF)
    assert changes(before, snapshot(annotated)) == set()
    assert changes(before, snapshot(done)) == {"uns/sims"}
    assert sims.tl.evaluate_masks(annotated, model, **BRIEF) is None


def test_the_next_annotation_takes_it_away(annotated, model):
    sims.tl.evaluate_masks(annotated, model, **BRIEF)
    sims.tl.annotate(annotated, model, key_added="other", **QUIET)
    assert "mask_quality" in annotated.uns["sims"]
    sims.tl.annotate(annotated, model, **QUIET)
    assert "mask_quality" not in annotated.uns["sims"]


def test_the_layer_and_kind_of_the_annotation_are_taken(cells, model):
    cells.layers["counts"] = cells.X.copy()
    cells.X = np.log1p(cells.X)
    sims.tl.annotate(cells, model, layer="counts", **QUIET)
    sims.tl.evaluate_masks(cells, model, "cell_type", **BRIEF)
    assert quality(cells)["params"]["layer"] == "counts"
    assert quality(cells)["faithfulness"]["accuracy"].iloc[0] > 0.95


def test_an_annotation_restricted_to_some_classes(cells, model):
    sims.tl.annotate(cells, model, classes=["type_0", "type_2"], min_confidence=0.6, **QUIET)
    sims.tl.evaluate_masks(cells, model, **BRIEF)
    table = quality(cells)["faithfulness_by_class"]
    assert set(table["class"]) == {"type_0", "type_2"}
    assert (table.query("ranking == 'none'")["accuracy"] == 1).all()


def test_genes_that_the_query_lacks(cells, model, planted):
    lost = planted.var_names[planted.var["marker_of"] == "type_0"][:2]
    query = cells[:, ~cells.var_names.isin(lost)].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # much of the mask weight may be missing
        sims.tl.annotate(query, model, **QUIET)
        sims.tl.evaluate_masks(
            query, model, "cell_type", markers={"type_0": [*lost, "gene_1"], "type_9": ["gene_2"]}, **BRIEF
        )
    given = quality(query)["agreement"].query("source == 'given'")
    assert given[["class", "n_markers", "n_found"]].values.tolist() == [["type_0", 3, 1]]


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_it_survives_the_file(cells, planted, small, kind, tmp_path):
    if kind == "zarr":
        pytest.importorskip("zarr")
    names = {"type_0": "L2/3 IT", "type_1": "CD4+/CD8- T, naïve", "type_2": "type/2"}
    reference = planted.copy()
    reference.obs["cell_type"] = reference.obs["cell_type"].cat.rename_categories(names)
    model = sims.tl.sims_train(reference, "cell_type", max_epochs=2, **small)
    sims.tl.annotate(reference, model, key_added="found", **QUIET)
    markers = {"CD4+/CD8- T, naïve": ["gene_1", "gene_2"]}
    options = {"key": "found", "retrained": [model], "markers": markers, **BRIEF}
    sims.tl.evaluate_masks(reference, model, "cell_type", **options)
    path = Path(tmp_path) / f"file.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(reference, f"write_{kind}")(path)
        back = getattr(ad, f"read_{kind}")(path)
    first, second = (each.uns["found"]["mask_quality"] for each in (reference, back))
    assert set(first) == set(second) == TABLES | {"stability"}
    for name in set(first) - {"params"}:
        pd.testing.assert_frame_equal(second[name], first[name], check_categorical=False, check_index_type=False)
    assert list(second["stability"]["class"].cat.categories) == list(names.values())
    assert isinstance(sims.pl.mask_quality(back, key="found", show=False), list)


# --- errors -----------------------------------------------------------------------------------------------------------


def test_without_masks(cells, model):
    sims.tl.annotate(cells, model, masks=False, **QUIET)
    with pytest.raises(KeyError, match=r"'sims_masks' is not in.*annotate\(..., masks=True\)"):
        sims.tl.evaluate_masks(cells, model)
    with pytest.raises(KeyError, match="'other_masks' is not in"):
        sims.tl.evaluate_masks(cells, model, key="other")


def test_another_model(annotated, planted, model, small, snapshot, changes):
    before = snapshot(annotated)
    fewer = sims.tl.sims_train(planted.copy(), "cell_type", max_epochs=1, n_top_genes=40, **small)
    with pytest.raises(ValueError, match=r"made by another model: it has 60 genes .* this model 40"):
        sims.tl.evaluate_masks(annotated, fewer)
    seed = sims.tl.sims_train(planted.copy(), "cell_type", max_epochs=1, random_state=7, **small)
    with pytest.raises(ValueError, match=r"not those that this model gives.*Give the model that annotated"):
        sims.tl.evaluate_masks(annotated, seed)
    renamed = planted.copy()
    renamed.obs["cell_type"] = renamed.obs["cell_type"].cat.rename_categories({"type_0": "zero"})
    with pytest.raises(ValueError, match=r"3 classes .* this model 3 \('zero'"):
        sims.tl.evaluate_masks(annotated, sims.tl.sims_train(renamed, "cell_type", max_epochs=1, **small))
    with pytest.raises(TypeError, match="`model` is a dict"):
        sims.tl.evaluate_masks(annotated, {})
    assert changes(before, snapshot(annotated)) == set()


def test_counts_that_have_changed_since(annotated, model):
    annotated.X = annotated.X[::-1].copy()
    with pytest.raises(ValueError, match="counts that have changed since"):
        sims.tl.evaluate_masks(annotated, model)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_genes": ()}, ValueError, "one number of genes or more"),
        ({"n_genes": (0, 5)}, ValueError, "whole number above 0"),
        ({"n_genes": (100,)}, ValueError, "the model has 60 genes"),
        ({"against": ("lasso",)}, ValueError, "against='lasso'"),
        ({"against": "random"}, TypeError, "must be a list"),
        ({"labels_key": "cell_typ"}, KeyError, "Did you mean 'cell_type'"),
        ({"labels_key": "donor"}, ValueError, "has 0 .*the right column"),
        ({"layer": "raw"}, KeyError, "layer='raw'"),
        ({"gene_symbols": "symbol"}, KeyError, "gene_symbols='symbol'"),
        ({"markers": {"B cell": ["CD19"]}}, ValueError, "names none of the classes"),
        ({"markers": {"type_0": ["CD19"]}}, ValueError, "is a gene of the model"),
        ({"retrained": ["nowhere"]}, FileNotFoundError, "neither a key of `adata.uns`"),
        ({"retrained": [3]}, TypeError, "holds a int"),
        ({"retrained": []}, ValueError, "`retrained` is empty"),
        ({"max_cells": 4}, ValueError, "two are needed"),
    ],
)
def test_requests_that_cannot_be_met(annotated, snapshot, changes, model, options, error, message):
    before = snapshot(annotated)
    with pytest.raises(error, match=message):
        sims.tl.evaluate_masks(annotated, model, **{**BRIEF, **options})
    assert changes(before, snapshot(annotated)) == set()


def test_a_folder_instead_of_the_model(annotated, folder, model):
    sims.tl.evaluate_masks(annotated, folder, **BRIEF)
    by_folder = quality(annotated)["faithfulness"]
    sims.tl.evaluate_masks(annotated, model, **BRIEF)
    pd.testing.assert_frame_equal(quality(annotated)["faithfulness"], by_folder)
