"""What all scores of novelty from embeddings share: planted classes are found, odd training cells are borne."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sims_tools.confidence import Mahalanobis, NeighbourDistance

FITS = {
    "mahalanobis": lambda embedding, codes: Mahalanobis.fit(embedding, codes, relative=False),
    "relative": Mahalanobis.fit,
    "neighbours": NeighbourDistance.fit,
}
KINDS = {"mahalanobis": Mahalanobis, "relative": Mahalanobis, "neighbours": NeighbourDistance}


@pytest.fixture(params=FITS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def auroc(known: np.ndarray, novel: np.ndarray) -> float:
    return roc_auc_score(np.repeat([0, 1], [len(known), len(novel)]), np.concatenate([known, novel]))


def test_a_planted_class_is_found(embedded, centres, kind):
    rng = np.random.default_rng(0)
    all_centres = centres(6, 16, rng)
    training = embedded(2000, all_centres[:5], rng)
    found = FITS[kind](*training)
    known, novel = (found.score(embedded(500, each, rng)[0]) for each in (all_centres[:5], all_centres[5:]))
    assert known.dtype == np.float32
    assert known.shape == (500,)
    assert auroc(known, novel) > 0.99


def test_fresh_cells_of_known_classes_are_not_novel(embedded, centres, kind):
    rng = np.random.default_rng(1)
    known_centres = centres(5, 16, rng)
    found = FITS[kind](*embedded(2000, known_centres, rng))
    first, second = (found.score(embedded(2000, known_centres, rng)[0]) for _ in range(2))
    assert auroc(first, second) == pytest.approx(0.5, abs=0.03)


def test_fewer_cells_than_dimensions(embedded, centres, kind):
    rng = np.random.default_rng(2)
    all_centres = centres(4, 60, rng)
    found = FITS[kind](*embedded(24, all_centres[:3], rng))
    known, novel = (found.score(embedded(300, each, rng)[0]) for each in (all_centres[:3], all_centres[3:]))
    assert auroc(known, novel) > 0.99


@pytest.mark.parametrize("how", ["constant", "repeated", "dead", "one cell a class", "huge", "tiny"])
def test_degenerate_covariances(embedded, centres, kind, how):
    """Directions without spread still count: what leaves them is novel, and nothing is infinite."""
    rng = np.random.default_rng(3)
    embedding, codes = embedded(300, centres(3, 6, rng), rng)
    if how == "constant":
        embedding = centres(3, 6, np.random.default_rng(3)).astype(np.float32)[codes]
    elif how == "repeated":
        embedding = np.hstack([embedding, embedding])
    elif how == "dead":
        embedding = np.hstack([embedding, np.zeros_like(embedding)])
    elif how == "one cell a class":
        embedding, codes = embedding[:3], np.arange(3)
    else:
        embedding = embedding * np.float32({"huge": 1e12, "tiny": 1e-12}[how])
    found = FITS[kind](embedding, codes)
    known = found.score(embedding)
    away = embedding.copy()
    away[:, -1] += 20 * np.abs(embedding).max()
    novel = found.score(away)
    assert np.isfinite(known).all()
    assert np.isfinite(novel).all()
    assert novel.min() > known.max()


def test_all_training_cells_alike():
    alike, codes = np.zeros((4, 3)), np.array([0, 0, 1, 1])
    for found in (FITS["mahalanobis"](alike, codes), FITS["relative"](alike, codes)):
        assert found.score(alike).tolist() == [0] * 4
        assert np.isfinite(found.score(alike + 1)).all()
    near = NeighbourDistance.fit(alike, codes)
    np.testing.assert_allclose(near.score(np.array([[0.0, 0, 0], [3, 4, 0]])), [0, 1])


def test_one_class_only(embedded, centres):
    rng = np.random.default_rng(4)
    all_centres = centres(2, 8, rng)
    embedding, codes = embedded(200, all_centres[:1], rng)
    for found in (FITS["mahalanobis"](embedding, codes), NeighbourDistance.fit(embedding, codes)):
        known, novel = (found.score(embedded(100, each, rng)[0]) for each in (all_centres[:1], all_centres[1:]))
        assert auroc(known, novel) > 0.99
    with pytest.raises(ValueError, match="one class only, .* expected two classes or more. Use `relative=False`"):
        Mahalanobis.fit(embedding, codes)


def test_classes_without_cells_do_not_matter(embedded, centres, kind):
    rng = np.random.default_rng(5)
    embedding, codes = embedded(200, centres(3, 5, rng), rng)
    np.testing.assert_array_equal(
        FITS[kind](embedding, codes).score(embedding), FITS[kind](embedding, codes * 50 + 7).score(embedding)
    )


def test_no_cells_to_score(embedded, centres, kind):
    rng = np.random.default_rng(6)
    found = FITS[kind](*embedded(30, centres(3, 5, rng), rng))
    assert found.score(np.empty((0, 5))).shape == (0,)


def test_what_is_stored_is_single_precision_and_scores_the_same(embedded, centres, kind):
    rng = np.random.default_rng(7)
    embedding, codes = embedded(300, centres(3, 5, rng), rng)
    found = FITS[kind](embedding, codes)
    arrays = found.to_arrays()
    assert {each.dtype for each in arrays.values()} <= {np.dtype(np.float32), np.dtype(np.int64)}
    assert all(each.flags.c_contiguous and each.ndim > 0 for each in arrays.values())
    again = KINDS[kind].from_arrays({name: each.copy() for name, each in arrays.items()})
    np.testing.assert_array_equal(found.score(embedding), again.score(embedding))


def test_what_cannot_be_fitted_or_scored(kind):
    fit: Any = FITS[kind]
    good, codes = np.random.default_rng(0).normal(size=(6, 3)), np.array([0, 0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="There are no cells"):
        fit(good[:0], codes[:0])
    with pytest.raises(ValueError, match=r"`embedding` has shape \(6,\); expected \(n_cells, n_columns\)"):
        fit(good[:, 0], codes)
    with pytest.raises(ValueError, match=r"`codes` has shape \(5,\); expected \(6,\)"):
        fit(good, codes[:5])
    with pytest.raises(ValueError, match=r"\(cell 0: -1\); expected at least 0"):
        fit(good, codes - 1)
    for value, name in ((np.nan, "NaN"), (np.inf, "infinite")):
        bad = good.copy()
        bad[4, 1] = value
        with pytest.raises(ValueError, match=rf"`embedding` is {name} in 1 of 6 cells \(first: cell 4\)"):
            fit(bad, codes)
        with pytest.raises(ValueError, match=rf"`embedding` is {name} in 1 of 6 cells \(first: cell 4\)"):
            fit(good, codes).score(bad)
    with pytest.raises(ValueError, match="`embedding` has 2 columns, but it was fitted with 3"):
        fit(good, codes).score(good[:, :2])
