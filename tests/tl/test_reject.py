"""Cells unlike the reference: found, called unknown, and never more of the known ones than asked for."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

import sims_tools as sims

QUIET: dict[str, Any] = {"progress_bar": False}
STORED = Path(__file__).parents[1] / "models" / "data" / "sims_v1" / "model"
NOVEL = "type_3"


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """1,600 cells of 4 classes, one of which no model here is trained on."""
    return sims.data.planted_cells(n_cells=1600, n_genes=80, n_classes=4, random_state=3)


@pytest.fixture(scope="module")
def reference(cells: ad.AnnData) -> ad.AnnData:
    known = cells[:1000][(cells.obs["cell_type"] != NOVEL)[:1000]].copy()
    known.obs["cell_type"] = known.obs["cell_type"].astype(str)
    return known


@pytest.fixture(scope="module")
def model(reference: ad.AnnData) -> sims.models.SIMS:
    return sims.tl.sims_train(
        reference.copy(), "cell_type", max_epochs=8, learning_rate=0.02, validation_size=0.3, n_d=8, n_a=8,
        batch_size=32, accelerator="cpu", **QUIET,
    )  # fmt: skip


@pytest.fixture
def query(cells: ad.AnnData) -> ad.AnnData:
    return cells[1000:].copy()


def is_novel(query: ad.AnnData) -> np.ndarray:
    return (query.obs["cell_type"] == NOVEL).to_numpy()


def test_a_new_class_is_unknown_and_known_cells_are_kept(query, model):
    sims.tl.annotate(query, model, reject=0.05, **QUIET)
    unknown, novel = (query.obs["sims"] == "Unknown").to_numpy(), is_novel(query)
    assert unknown[novel].mean() > 0.8
    assert unknown[~novel].mean() < 0.05 + 0.05  # 450 cells, and 225 that the limit is taken from
    shares = query.obs["sims_novelty"]
    assert shares.dtype == np.float32
    assert shares.between(0, 1).all()
    np.testing.assert_array_equal(unknown, shares >= 0.95 - 1e-6)
    assert shares[~novel].mean() == pytest.approx(0.5, abs=0.06)
    assert list(query.obs["sims"].cat.categories) == [*model.classes, "Unknown"]
    assert query.uns["sims"]["params"]["reject"] == 0.05
    assert "obs/sims_novelty" in query.uns["sims"]["slots"]


def test_the_largest_probability_does_not_find_it(query, model):
    """Which is why there is this: most novel cells are given a class with confidence."""
    sims.tl.annotate(query, model, **QUIET)
    assert "sims_novelty" not in query.obs
    assert "Unknown" not in set(query.obs["sims"])
    assert (query.obs["sims_confidence"][is_novel(query)] > 0.8).mean() > 0.25


def test_more_is_rejected_where_more_may_be(query, model):
    rejected = []
    for share in (0.02, 0.1, 0.3):
        sims.tl.annotate(query, model, reject=share, **QUIET)
        rejected.append((query.obs["sims"] == "Unknown").to_numpy())
        assert rejected[-1][~is_novel(query)].mean() < share + 0.07
    assert not (rejected[0] & ~rejected[1]).any()
    assert not (rejected[1] & ~rejected[2]).any()
    assert rejected[0].sum() < rejected[2].sum()


def noisy(query: ad.AnnData) -> ad.AnnData:
    """The same cells with a twentieth of their counts, of which one alone says little."""
    counts = sparse.csr_matrix(query.X)
    counts.data = np.random.default_rng(0).binomial(counts.data.astype(int), 0.05).astype(np.float32)
    counts.eliminate_zeros()
    query.X = counts
    return query


def test_a_population_is_found_where_single_cells_are_not(query, model):
    novel, found = is_novel(query), {}
    for by in ("cell", "neighbors"):
        annotated = sims.tl.annotate(noisy(query.copy()), model, reject=0.05, reject_by=by, copy=True, **QUIET)
        found[by] = annotated.obs["sims_novelty"].to_numpy()
        assert annotated.uns["sims"]["params"]["reject_by"] == by
    alone, together = (roc_auc_score(novel, each) for each in found.values())
    assert together > alone + 0.02


def test_neighbors_keep_known_cells_and_blocks_do_not_matter(query, model):
    sims.tl.annotate(query, model, reject=0.05, reject_by="neighbors", **QUIET)
    unknown, shares = (query.obs["sims"] == "Unknown").to_numpy(), query.obs["sims_novelty"].copy()
    assert unknown[is_novel(query)].mean() > 0.9
    assert unknown[~is_novel(query)].mean() < 0.05 + 0.05
    sims.tl.annotate(query, model, reject=0.05, reject_by="neighbors", batch_size=77, **QUIET)
    pd.testing.assert_series_equal(query.obs["sims_novelty"], shares)


def test_neighbors_survive_saving(query, model, tmp_path):
    model.save(tmp_path / "model")
    annotated = sims.tl.annotate(query, model, reject=0.1, reject_by="neighbors", copy=True, **QUIET)
    sims.tl.annotate(query, tmp_path / "model", reject=0.1, reject_by="neighbors", **QUIET)
    pd.testing.assert_series_equal(query.obs["sims_novelty"], annotated.obs["sims_novelty"])


def test_what_neighbors_need(query, model, monkeypatch):
    with pytest.raises(ValueError, match="reject_by"):
        sims.tl.annotate(query, model, reject=0.1, reject_by="cluster", **QUIET)
    older = replace(model.confidence_, novelty=replace(model.confidence_.novelty, together=None))
    monkeypatch.setattr(model, "confidence_", older)
    with pytest.raises(ValueError, match="older version.*reject_by='cell'"):
        sims.tl.annotate(query, model, reject=0.1, reject_by="neighbors", **QUIET)
    assert "sims" not in query.obs


def test_nothing_but_labels_changes(query, model):
    without = sims.tl.annotate(query, model, prediction_sets=0.1, embedding=True, top_k=3, copy=True, **QUIET)
    with_it = sims.tl.annotate(
        query, model, prediction_sets=0.1, embedding=True, top_k=3, reject=0.1, copy=True, **QUIET
    )
    for name in set(without.obs) - {"sims"}:
        pd.testing.assert_series_equal(without.obs[name], with_it.obs[name])
    for name in ("sims_prob", "X_sims"):
        np.testing.assert_array_equal(without.obsm[name], with_it.obsm[name])
    for name in ("sims_sets", "sims_masks"):
        assert (without.obsm[name] != with_it.obsm[name]).nnz == 0
    called = (with_it.obs["sims"] != "Unknown").to_numpy()
    assert (without.obs["sims"].astype(str) == with_it.obs["sims"].astype(str))[called].all()


def test_either_limit_is_enough(query, model):
    plain = sims.tl.annotate(query, model, reject=0.1, copy=True, **QUIET)
    novel = plain.obs["sims"] == "Unknown"
    limit = float(np.median(plain.obs["sims_confidence"]))
    weak = sims.tl.annotate(query, model, min_confidence=limit, copy=True, **QUIET).obs["sims"] == "Unknown"
    both = sims.tl.annotate(query, model, reject=0.1, min_confidence=limit, copy=True, **QUIET).obs["sims"] == "Unknown"
    assert (novel & ~weak).any()
    assert (weak & ~novel).any()
    np.testing.assert_array_equal(both, novel | weak)


def test_novelty_is_about_the_whole_reference_whatever_is_allowed(query, model):
    every = sims.tl.annotate(query, model, reject=0.1, copy=True, **QUIET)
    one = sims.tl.annotate(query, model, reject=0.1, classes=["type_1"], copy=True, **QUIET)
    np.testing.assert_array_equal(every.obs["sims_novelty"], one.obs["sims_novelty"])
    np.testing.assert_array_equal(every.obs["sims"] == "Unknown", one.obs["sims"] == "Unknown")
    assert set(one.obs["sims"]) == {"type_1", "Unknown"}


def test_rejected_cells_have_no_vote(query, model):
    query.obs["cluster"] = np.where(is_novel(query), "new", "rest")
    sims.tl.annotate(query, model, reject=0.05, groupby="cluster", **QUIET)
    new = query[is_novel(query)].obs
    called = new["sims"][new["sims"] != "Unknown"]
    expected = called.value_counts().index[0] if len(called) else "Unknown"
    assert set(new["sims_majority"]) == {expected}
    assert new["sims_majority_share"].iloc[0] == pytest.approx((new["sims"] == expected).mean())


def test_a_cell_without_counts_is_unknown_and_has_no_novelty(query, model):
    query.X = sparse.csr_matrix(query.X)
    query.X[0] = 0
    query.X.eliminate_zeros()
    sims.tl.annotate(query, model, reject=0.1, **QUIET)
    assert query.obs["sims"].iloc[0] == "Unknown"
    assert np.isnan(query.obs["sims_novelty"].iloc[0])
    assert query.obs["sims_novelty"].iloc[1:].notna().all()


def test_a_cell_with_none_of_the_models_genes_is_unknown(query, model):
    other = ad.AnnData(
        sparse.csr_matrix(np.ones((query.n_obs, 1), np.float32)), obs=query.obs, var=pd.DataFrame(index=["x"])
    )
    wide = ad.concat([query, other], axis=1, merge="first")
    counts = sparse.lil_matrix(wide.X)
    counts[0, :80] = 0
    wide.X = counts.tocsr()
    sims.tl.annotate(wide, model, reject=0.05, **QUIET)
    assert wide.obs["sims"].iloc[0] == "Unknown"
    assert wide.obs["sims_novelty"].iloc[0] > 0.99


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_missing_genes_reject_hardly_more_known_cells(query, model, share):
    there = np.random.default_rng(0).random(query.n_vars) >= share
    part = query[:, there].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sims.tl.annotate(part, model, reject=0.05, **QUIET)
    assert (part.obs["sims"] == "Unknown")[~is_novel(query)].mean() < 0.15


def test_a_query_with_little_of_the_expression_is_warned_of(query, model):
    squares = model.confidence_.novelty.components.squares
    there = np.sort(np.argsort(squares)[: query.n_vars // 3])
    with pytest.warns(UserWarning, match=r"26 of the model's 80 genes, \d+% of the expression that novelty"):
        sims.tl.annotate(query[:, there].copy(), model, reject=0.05, **QUIET)


def test_the_same_in_every_storage(query, model, store):
    expected = sims.tl.annotate(query, model, reject=0.1, copy=True, **QUIET)
    adata = store(query)
    sims.tl.annotate(adata, model, reject=0.1, **QUIET)
    np.testing.assert_allclose(adata.obs["sims_novelty"], expected.obs["sims_novelty"], atol=0.01)
    assert (adata.obs["sims"].astype(str).to_numpy() == expected.obs["sims"].astype(str).to_numpy()).mean() > 0.995


def test_the_same_in_blocks_of_any_size_and_from_logarithms(query, model):
    expected = sims.tl.annotate(query, model, reject=0.1, copy=True, **QUIET).obs
    small = sims.tl.annotate(query, model, reject=0.1, batch_size=37, copy=True, **QUIET).obs
    np.testing.assert_allclose(small["sims_novelty"], expected["sims_novelty"], atol=0.005)
    counts = query.X.toarray() if sparse.issparse(query.X) else np.asarray(query.X)
    query.X = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4).astype(np.float32)
    logs = sims.tl.annotate(query, model, reject=0.1, copy=True, **QUIET).obs
    np.testing.assert_allclose(logs["sims_novelty"], expected["sims_novelty"], atol=0.02)


def test_saved_models_keep_it_beside_the_weights(query, model, tmp_path):
    model.save(tmp_path / "model")
    text = (tmp_path / "model" / "model.json").read_text(encoding="utf-8")
    stored = json.loads(text)["attributes"]["confidence_"]["novelty"]
    assert all(set(each) == {"array in weights.safetensors"} for each in stored.values())
    loaded = sims.models.load(tmp_path / "model")
    first, second = (sims.tl.annotate(query, each, reject=0.1, copy=True, **QUIET) for each in (model, loaded))
    np.testing.assert_array_equal(first.obs["sims_novelty"], second.obs["sims_novelty"])
    np.testing.assert_array_equal(first.obs["sims"], second.obs["sims"])
    loaded.save(tmp_path / "again")
    weights = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("model", "again")]
    assert weights[0] == weights[1]


def test_a_reference_to_an_array_that_is_not_there(model, tmp_path):
    from sims_tools.models import _persist

    model.save(tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["attributes"]["confidence_"]["novelty"]["middle"] = {"array in weights.safetensors": "nowhere"}
    content["header_sha256"] = _persist._header_digest(content)
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ValueError, match="lacks 'nowhere'"):
        sims.models.load(tmp_path / "model")


def test_training_again_gives_the_same(reference, query):
    options = {"max_epochs": 1, "n_d": 4, "n_a": 4, "accelerator": "cpu", **QUIET}
    first, second = (sims.tl.sims_train(reference.copy(), "cell_type", **options) for _ in range(2))
    shares = [
        sims.tl.annotate(query, each, reject=0.1, copy=True, **QUIET).obs["sims_novelty"] for each in (first, second)
    ]
    np.testing.assert_array_equal(*shares)


def test_models_that_cannot_say_are_refused(reference, query):
    options = {"max_epochs": 1, "n_d": 4, "n_a": 4, "accelerator": "cpu", **QUIET}
    model = sims.tl.sims_train(reference.copy(), "cell_type", validation_size=0, **options)
    with pytest.raises(ValueError, match="without validation cells.*`validation_size` above 0"):
        sims.tl.annotate(query, model, reject=0.05, **QUIET)
    assert "sims" not in query.obs


def test_models_of_before_there_was_novelty_are_read_and_refused(query):
    model = sims.models.load(STORED, accelerator="cpu")
    assert model.confidence_.novelty is None
    with pytest.raises(ValueError, match="`reject` takes a model"):
        sims.tl.annotate(query, model, reject=0.05, **QUIET)


def test_too_few_validation_cells_are_warned_of(query, model):
    n = model.confidence_.novelty.known.n_cells
    with pytest.warns(
        UserWarning, match=rf"has {n} validation cells; `reject=0.001` takes 999, so no cell is rejected"
    ):
        sims.tl.annotate(query, model, reject=0.001, **QUIET)
    assert not (query.obs["sims"] == "Unknown").any()


@pytest.mark.parametrize("share", [0, 1, -0.1, 2])
def test_a_share_that_is_none(query, model, share):
    with pytest.raises(ValueError, match="`reject=.*between 0 and 1"):
        sims.tl.annotate(query, model, reject=share, **QUIET)
    assert "sims" not in query.obs


def test_annotating_again_without_takes_novelty_away(query, model):
    sims.tl.annotate(query, model, reject=0.05, **QUIET)
    sims.tl.annotate(query, model, **QUIET)
    assert "sims_novelty" not in query.obs
    assert list(query.obs["sims"].cat.categories) == list(model.classes)


def test_a_warning_of_what_is_missing_is_not_the_rule(query, model):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sims.tl.annotate(query, model, reject=0.05, **QUIET)
