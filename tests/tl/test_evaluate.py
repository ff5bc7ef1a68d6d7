"""Scores of an annotation: right by hand and by scikit-learn, honest about novel cells, and stored with the object."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import metrics

import sims_tools as sims

QUIET = {"progress_bar": False}
TABLES = {"overall", "per_class", "reliability", "risk_coverage", "confusion"}
PROB = [
    [0.75, 0.25, 0.0],  # B, called B
    [0.5, 0.25, 0.25],  # B, not called
    [0.25, 0.75, 0.0],  # B, called CD4+/CD8
    [0.0, 1.0, 0.0],  # CD4+/CD8, called so
    [0.0, 0.875, 0.125],  # CD4+/CD8, called so
    [0.25, 0.5, 0.25],  # pre/pro B, a type the model does not know, not called
    [1.0, 0.0, 0.0],  # pre/pro B, called B
    [1.0, 0.0, 0.0],  # no true label
]


@pytest.fixture
def eight() -> ad.AnnData:
    """Eight cells whose scores can be worked out by hand."""
    names = ["B", "CD4+/CD8", "NK", "Unknown"]
    obs = pd.DataFrame(index=[f"cell{rank}" for rank in range(8)])
    obs["sims"] = pd.Categorical.from_codes([0, 3, 1, 1, 1, 3, 0, 0], names)
    obs["truth"] = ["B", "B", "B", "CD4+/CD8", "CD4+/CD8", "pre/pro B", "pre/pro B", None]
    prob = np.array(PROB, dtype=np.float32)
    return ad.AnnData(
        np.ones((8, 2), dtype=np.float32),
        obs=obs,
        obsm={"sims_prob": prob, "sims_sets": sparse.csr_matrix(prob > 0.3)},
        uns={"sims": {"classes": np.array(names[:3]), "params": {"classes": "None"}, "slots": np.array(["obs/sims"])}},
    )


def scores(adata, key="sims"):
    return sims.get.evaluation_df(adata, key=key).set_index(["cells", "score"])["value"]


def test_every_number_by_hand(eight):
    assert sims.tl.evaluate(eight, "truth", n_bins=4) is None
    assert set(eight.uns["sims"]["evaluation"]) == TABLES | {"novel", "params"}
    found = scores(eight)
    expected = {
        "accuracy": 3 / 5,
        "balanced_accuracy": (1 / 3 + 1) / 2,
        "macro_f1": (2 / 4 + 4 / 5) / 2,
        "median_f1": (2 / 4 + 4 / 5) / 2,
        "weighted_f1": (3 * 2 / 4 + 2 * 4 / 5) / 5,
        "accuracy_called": 3 / 4,
        "rejected": 1 / 5,
        "nll": -np.log([0.75, 0.5, 0.25, 1, 0.875]).mean(),
        "brier": (2 / 16 + (4 + 1 + 1) / 16 + 2 * 9 / 16 + 0 + 2 / 64) / 5,
        "ece": (0.5 + 0.5 + 0.125) / 5,  # bins end at 0.25, 0.5, 0.75 and 1: 0.5 alone, 0.75 twice, the others
        "set_coverage": 4 / 5,
        "set_size": 1,
        "aurc_confidence": (0 + 0 + (0.5 / 3) + 1 / 4 + 1 / 5) / 5,
    }
    pd.testing.assert_series_equal(found["known"], pd.Series(expected), check_names=False, check_index_type=False)
    assert found["novel"].to_dict() == {"rejected": 0.5}
    assert found["all"].to_dict() == pytest.approx(
        {
            "accuracy": 4 / 7,
            "aurc_confidence": (1 / 2 + 1 / 2 + 1 / 3 + 1.5 / 4 + 2 / 5 + 2.5 / 6 + 3 / 7) / 7,
            "auroc_confidence": (0 + 0.5 + 4.5) / 10,
        }
    )
    sizes = sims.get.evaluation_df(eight).groupby("cells")["n_cells"].unique()
    assert {part: list(each) for part, each in sizes.items()} == {"known": [5], "novel": [2], "all": [7]}


def test_the_other_tables_by_hand(eight):
    sims.tl.evaluate(eight, "truth", n_bins=4)
    table = sims.get.evaluation_df(eight, "per_class").set_index("label")
    assert table.index.tolist() == ["B", "CD4+/CD8"]  # nothing is or was called an NK cell
    assert table["n_cells"].tolist() == [3, 2]
    assert table["n_called"].tolist() == [1, 3]
    assert table["n_novel_called"].tolist() == [1, 0]
    np.testing.assert_allclose(table["precision"], [1, 2 / 3])
    np.testing.assert_allclose(table["recall"], [1 / 3, 1])
    np.testing.assert_allclose(table["f1"], [1 / 2, 4 / 5])
    np.testing.assert_allclose(table["confidence"], [0.75, (0.75 + 1 + 0.875) / 3])
    np.testing.assert_allclose(table["set_coverage"], [2 / 3, 1])
    np.testing.assert_allclose(table["set_size"], [1, 1])
    table = sims.get.evaluation_df(eight, "confusion")
    assert table.to_numpy().tolist() == [
        ["B", "B", 1],
        ["B", "CD4+/CD8", 1],
        ["B", "Unknown", 1],
        ["CD4+/CD8", "CD4+/CD8", 2],
        ["pre/pro B", "B", 1],
        ["pre/pro B", "Unknown", 1],
    ]
    table = sims.get.evaluation_df(eight, "novel")
    assert table.to_numpy().tolist() == [["pre/pro B", 2, 0.5, 0.5]]
    table = sims.get.evaluation_df(eight, "reliability")
    assert table["n_cells"].tolist() == [0, 1, 2, 2]
    np.testing.assert_allclose(table["accuracy"], [np.nan, 1, 0.5, 1])
    table = sims.get.evaluation_df(eight, "risk_coverage")
    assert table["cells"].tolist() == ["known"] * 4 + ["all"] * 4
    assert set(table["sorted_by"]) == {"confidence"}
    np.testing.assert_allclose(table["risk"][:4], [0, 0, 1 / 4, 1 / 5])
    np.testing.assert_allclose(table["risk"][4:], [1 / 2, 1 / 3, 2 / 5, 3 / 7])
    np.testing.assert_allclose(table["threshold"], [1, 0.875, 0.75, 0.5] * 2)


def test_a_novelty_score_is_used_where_there_is_one(eight):
    eight.obs["sims_novelty"] = np.array([-1, 0, 1, -2, -2, 5, np.nan, 9], dtype=np.float32)
    sims.tl.evaluate(eight, "truth")
    found = scores(eight)
    assert found["all", "auroc_novelty"] == 1  # a cell that has no score is the most novel
    assert found["all", "auroc_confidence"] == 0.5
    assert found["known", "aurc_novelty"] == pytest.approx((0 + 0 + 0 + 0 + 1 / 5) / 5)
    table = sims.get.evaluation_df(eight, "risk_coverage").set_index(["cells", "sorted_by"])
    np.testing.assert_array_equal(table.loc[("all", "novelty"), "threshold"], [-2, -1, 0, 1, 5, np.inf])
    np.testing.assert_allclose(table.loc[("all", "novelty"), "risk"], [0, 0, 0, 1 / 5, 2 / 6, 3 / 7])
    assert sims.get.evaluation_df(eight, "novel")["auroc_novelty"].tolist() == [1]


@pytest.fixture(scope="module")
def query(planted, model):
    """Annotated cells of which a few have a wrong true label, and others none."""
    adata = planted.copy()
    rng = np.random.default_rng(5)
    truth = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
    truth[rng.random(200) < 0.2] = "type_0"
    truth[:10] = None
    adata.obs["truth"] = pd.Categorical(truth)
    sims.tl.annotate(adata, model, **QUIET)
    unsure = float(adata.obs["sims_confidence"].quantile(0.1))
    sims.tl.annotate(adata, model, min_confidence=unsure, prediction_sets=0.2, **QUIET)
    return adata


def test_scores_are_those_of_scikit_learn(query):
    adata = sims.tl.evaluate(query, "truth", copy=True)
    found = scores(adata)["known"]
    held = query[10:]
    true, called = held.obs["truth"].astype(str).to_numpy(), held.obs["sims"].astype(str).to_numpy()
    prob, names = held.obsm["sims_prob"].astype(float), query.uns["sims"]["classes"]
    present = sorted(set(true))
    assert "Unknown" in called
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(true, called))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no true cell is Unknown
        assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(true, called))
    for name, average in (("macro_f1", "macro"), ("weighted_f1", "weighted")):
        assert found[name] == pytest.approx(metrics.f1_score(true, called, labels=present, average=average))
    assert found["nll"] == pytest.approx(metrics.log_loss(true, prob, labels=list(names)), rel=1e-5)
    codes = np.searchsorted(names, true)
    assert found["brier"] == pytest.approx(((prob - np.eye(3)[codes]) ** 2).sum(1).mean())
    assert found["ece"] == sims.confidence.calibration_error(held.obsm["sims_prob"], codes)
    assert found["rejected"] == (called == "Unknown").mean()
    right, kept = true == called, called != "Unknown"
    assert found["accuracy_called"] == pytest.approx(right[kept].mean())
    in_set = np.asarray(held.obsm["sims_sets"].todense())[np.arange(190), codes]
    assert found["set_coverage"] == pytest.approx(in_set.mean())
    assert found["set_size"] == pytest.approx(held.obs["sims_set_size"].mean())
    assert set(sims.get.evaluation_df(adata)["cells"]) == {"known"}
    table = sims.get.evaluation_df(adata, "confusion").pivot(index="true", columns="called", values="n_cells").fillna(0)
    crossed = pd.crosstab(true, called)
    np.testing.assert_array_equal(table.loc[crossed.index, crossed.columns], crossed)
    curve = sims.get.evaluation_df(adata, "risk_coverage")
    assert curve["risk"].iloc[-1] == pytest.approx((prob.argmax(1) != codes).mean())


def test_types_that_are_taken_out_of_the_choice_are_novel(query, model):
    adata = query.copy()
    sims.tl.annotate(adata, model, classes=["type_0", "type_1"], **QUIET)
    sims.tl.evaluate(adata, "truth")
    n_novel = (adata.obs["truth"] == "type_2").sum()
    table = sims.get.evaluation_df(adata, "novel")
    assert table["label"].tolist() == ["type_2"]
    assert table["n_cells"].tolist() == [n_novel]
    assert scores(adata)["known", "nll"] < 20  # none of those whose class has a probability of zero
    assert set(sims.get.evaluation_df(adata, "per_class")["label"]) == {"type_0", "type_1"}


@pytest.mark.parametrize("missing", [None, np.nan, "", "Unknown"])
def test_cells_without_a_true_label_are_left_out(eight, missing):
    labels = ["B", missing, "B", "CD4+/CD8", missing, missing, missing, missing]
    eight.obs["truth"] = pd.Series(labels, index=eight.obs_names, dtype=object)
    sims.tl.evaluate(eight, "truth")
    assert sims.get.evaluation_df(eight)["n_cells"].unique().tolist() == [3]
    assert set(eight.uns["sims"]["evaluation"]) == TABLES | {"params"}


def test_another_name_for_no_label(eight):
    eight.obs["truth"] = ["B", "B", "Unknown", "?", "?", "?", "?", "?"]
    sims.tl.evaluate(eight, "truth", unlabeled_category="?")
    assert sims.get.evaluation_df(eight, "novel")["label"].tolist() == ["Unknown"]


def test_a_class_that_is_called_unknown_is_a_class(eight):
    eight.uns["sims"]["classes"] = np.array(["B", "CD4+/CD8", "Unknown"])
    eight.obs["sims"] = eight.obs["sims"].cat.remove_categories("NK")
    eight.obs["truth"] = ["B", "Unknown", *[None] * 6]
    sims.tl.evaluate(eight, "truth")
    assert scores(eight)["known", "accuracy"] == 1
    assert scores(eight)["known", "rejected"] == 0


def test_cells_without_a_call_are_left_out(eight):
    """As where annotated cells were put together with others."""
    eight.obs.loc["cell2", "sims"] = None
    eight.obsm["sims_prob"][2] = np.nan
    sims.tl.evaluate(eight, "truth")
    assert scores(eight)["known", "accuracy"] == pytest.approx(3 / 4)


def test_one_class_and_labels_that_are_numbers(eight):
    del eight.obsm["sims_sets"]
    eight.obs["sims"] = pd.Categorical(["7"] * 8)
    eight.obs["truth"] = [7] * 8
    eight.uns["sims"]["classes"] = np.array(["7"])
    eight.obsm["sims_prob"] = np.ones((8, 1), dtype=np.float32)
    sims.tl.evaluate(eight, "truth")
    found = scores(eight)["known"]
    for name, value in {"accuracy": 1, "macro_f1": 1, "nll": 0, "ece": 0, "aurc_confidence": 0, "rejected": 0}.items():
        assert found[name] == value
    assert "set_size" not in found


def test_where_nothing_is_called_there_is_no_accuracy_of_the_called(eight):
    eight.obs["sims"] = pd.Categorical(["Unknown"] * 8, categories=["B", "CD4+/CD8", "NK", "Unknown"])
    sims.tl.evaluate(eight, "truth")
    found = scores(eight)
    assert (found["known", "accuracy"], found["known", "rejected"]) == (0, 1)
    assert "accuracy_called" not in found["known"]
    assert found["all", "accuracy"] == pytest.approx(2 / 7)
    assert sims.get.evaluation_df(eight, "per_class")["precision"].isna().all()


# --- what is written --------------------------------------------------------------------------------------------------


def test_it_adds_one_entry_in_every_storage(cells, dress, store, snapshot, changes, model):
    adata = store(dress(cells))
    sims.tl.annotate(adata, model, masks=False, prediction_sets=0.2, **QUIET)
    file = hashlib.sha256(Path(adata.filename).read_bytes()).hexdigest() if adata.isbacked else None
    before, entries = snapshot(adata), snapshot(adata)["uns/sims"]
    sims.tl.evaluate(adata, "cell_type")
    after = snapshot(adata)
    assert changes(before, after) == {"uns/sims"}
    assert {name: value for name, value in after["uns/sims"].items() if name != "evaluation"} == entries
    assert file is None or hashlib.sha256(Path(adata.filename).read_bytes()).hexdigest() == file


def test_a_view_becomes_an_object_of_its_own_and_its_parent_stays(query, snapshot, changes):
    adata = query.copy()
    before = snapshot(adata)
    view = adata[50:150]
    sims.tl.evaluate(view, "truth")
    assert not view.is_view
    assert sims.get.evaluation_df(view)["n_cells"].unique().tolist() == [100]
    assert changes(before, snapshot(adata)) == set()


@pytest.mark.parametrize("as_view", [False, True])
def test_a_copy_leaves_the_original_alone(query, snapshot, changes, as_view):
    adata = query[::2] if as_view else query
    before = snapshot(adata)
    scored = sims.tl.evaluate(adata, "truth", copy=True)
    assert changes(before, snapshot(adata)) == set()
    assert adata.is_view == as_view
    assert changes(before, snapshot(scored)) == {"uns/sims"}


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_it_survives_the_file(eight, tmp_path, kind):
    eight.obs["sims_novelty"] = np.array([-1, 0, 1, -2, -2, 5, 3, 9], dtype=np.float32)
    sims.tl.evaluate(eight, "truth")
    path = tmp_path / f"cells.{kind}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        getattr(eight, f"write_{kind}")(path)
        back = getattr(ad, f"read_{kind}")(path)
    assert set(back.uns["sims"]["evaluation"]) == TABLES | {"novel", "params"}
    for table in TABLES | {"novel"}:
        first, second = (sims.get.evaluation_df(each, table) for each in (eight, back))
        pd.testing.assert_frame_equal(second, first, check_dtype=False, check_index_type=False)
        assert [dtype.kind for dtype in second.dtypes] == [dtype.kind for dtype in first.dtypes]
    assert back.uns["sims"]["evaluation"]["params"] == eight.uns["sims"]["evaluation"]["params"]
    again = sims.tl.evaluate(back, "truth", copy=True)
    pd.testing.assert_frame_equal(sims.get.evaluation_df(again), sims.get.evaluation_df(eight))


def test_the_next_evaluation_takes_the_place_of_the_last(eight):
    sims.tl.evaluate(eight, "truth", n_bins=4)
    eight.obs["other"] = ["B"] * 8
    sims.tl.evaluate(eight, "other")
    assert set(eight.uns["sims"]["evaluation"]) == TABLES | {"params"}
    assert eight.uns["sims"]["evaluation"]["params"] == {
        "labels_key": "other",
        "unlabeled_category": "Unknown",
        "n_bins": 15,
    }


def test_the_next_annotation_takes_it_away_and_training_does_not(query, model, small):
    adata = query.copy()
    sims.tl.annotate(adata, model, key_added="other", **QUIET)
    for key in ("sims", "other"):
        sims.tl.evaluate(adata, "truth", key=key)
    kept = scores(adata)
    sims.tl.sims_train(adata, "cell_type", max_epochs=1, **small)
    pd.testing.assert_series_equal(scores(adata), kept)
    sims.tl.annotate(adata, model, **QUIET)
    assert "evaluation" not in adata.uns["sims"]
    assert "evaluation" in adata.uns["other"]


# --- what is refused --------------------------------------------------------------------------------------------------


def _rename(adata):
    adata.obs["sims"] = adata.obs["sims"].cat.rename_categories({"NK": "nk", "B": "b cell"})


def _no_labels(adata):
    adata.obs["truth"] = np.nan


def _others(adata):
    adata.obs["truth"] = "Bcell"


def _wide(adata):
    adata.obsm["sims_prob"] = np.full((8, 4), 0.25)


def _sets(adata):
    adata.obsm["sims_sets"] = sparse.csr_matrix(np.ones((8, 2), dtype=bool))


def _scaled(adata):
    adata.obsm["sims_prob"] = adata.obsm["sims_prob"] * 2


def _all_novel_that_were_called(adata):
    adata.obs.loc[adata.obs["truth"] != "pre/pro B", "sims"] = None


@pytest.mark.parametrize(
    ("harm", "options", "error", "message"),
    [
        (None, {"labels_key": "thruth"}, KeyError, r"labels_key='thruth'.*Did you mean 'truth'"),
        (None, {"key": "other"}, KeyError, "key='other'"),
        (None, {"labels_key": "sims"}, ValueError, "the annotation itself"),
        (None, {"n_bins": 0}, ValueError, "`n_bins=0` must be a whole number above 0"),
        (lambda adata: adata.obsm.pop("sims_prob"), {}, KeyError, r"sims_prob.*sims.tl.annotate"),
        (lambda adata: adata.uns.pop("sims"), {}, KeyError, r"`adata.uns`.*sims.tl.annotate"),
        (_no_labels, {}, ValueError, r"No cell has both a true label in `adata.obs\['truth'\]` and a call"),
        (_others, {}, ValueError, r"holds 'Bcell', these are 'B', 'CD4\+/CD8', 'NK'.*Bring the labels to the model's"),
        (_all_novel_that_were_called, {}, ValueError, "All 2 cells are of types that could not be called"),
        (_rename, {}, ValueError, r"labels that are not among the model's classes: 'b cell'"),
        (_wide, {}, ValueError, "has 4 columns, but .* names 3"),
        (_sets, {}, ValueError, "has 2 columns; expected 3"),
        (_scaled, {}, ValueError, "rows that are no probabilities"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_anything_is_written(
    eight, snapshot, changes, harm, options, error, message
):
    if harm is not None:
        harm(eight)
    before = snapshot(eight)
    with pytest.raises(error, match=message):
        sims.tl.evaluate(eight, **{"labels_key": "truth"} | options)
    assert changes(before, snapshot(eight)) == set()


def test_what_holds_no_results_is_refused(query, tmp_path):
    with pytest.raises(TypeError, match="expected an AnnData"):
        sims.tl.evaluate(query.obs, "truth")
    query.write_h5ad(tmp_path / "query.h5ad")
    backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    with pytest.raises(ValueError, match="view of a backed object"):
        sims.tl.evaluate(backed[:50], "truth")
    sims.tl.evaluate(backed, "truth")
    assert scores(backed)["known", "accuracy"] > 0.5
