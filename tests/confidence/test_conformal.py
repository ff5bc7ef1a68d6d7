"""Prediction sets keep their promise on exchangeable cells, whatever the model, and say where they cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from sims_tools.confidence import Conformal, softmax

SCORES = ("lac", "aps", "raps")
ALPHAS = st.sampled_from([0.02, 0.05, 0.1, 0.2, 0.3])
DISTORTIONS = st.sampled_from([0.4, 1.0, 2.5])
"""What true logits are multiplied with: a model too unsure, calibrated, too sure."""


@pytest.fixture(scope="module")
def cells(draw):
    """4,000 cells of 5 classes."""
    return draw(4000, 5, np.random.default_rng(0))


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.sampled_from(SCORES), ALPHAS, DISTORTIONS, st.integers(2, 8), st.booleans())
def test_the_true_class_is_in_the_set_as_often_as_promised(draw, score, alpha, distortion, n_classes, never_empty):
    n_draws, n_fit, n_new = 100, 120, 200
    covered = []
    logits, codes = draw(n_draws * (n_fit + n_new), n_classes, np.random.default_rng(1))
    prob = softmax(logits * distortion)
    for i, (p, y) in enumerate(zip(np.split(prob, n_draws), np.split(codes, n_draws), strict=True)):
        fitted = Conformal.fit(p[:n_fit], y[:n_fit], score=score, random_state=i)
        sets = fitted.sets(p[n_fit:], alpha, never_empty=never_empty, random_state=n_draws + i)
        covered.append(sets[np.arange(n_new), y[n_fit:]].mean())
    assert np.mean(covered) >= 1 - alpha - 0.02
    if not never_empty:
        assert np.mean(covered) <= 1 - alpha + 1 / (n_fit + 1) + 0.02


@settings(derandomize=True, max_examples=8, deadline=None)
@given(st.sampled_from(SCORES), ALPHAS, DISTORTIONS)
def test_so_it_is_for_each_class_where_that_is_promised(draw, score, alpha, distortion):
    n_draws, n_fit, n_new = 300, 100, 200
    hits, cells = np.zeros(4), np.zeros(4)
    logits, codes = draw(n_draws * (n_fit + n_new), 4, np.random.default_rng(2), scale=2.0)
    prob = softmax(logits * distortion * [1, 1, 1, 0.5])  # unfair to one class
    for i, (p, y) in enumerate(zip(np.split(prob, n_draws), np.split(codes, n_draws), strict=True)):
        fitted = Conformal.fit(p[:n_fit], y[:n_fit], score=score, random_state=i)
        sets = fitted.sets(p[n_fit:], alpha, class_conditional=True, never_empty=False, random_state=n_draws + i)
        hits += np.bincount(y[n_fit:], weights=sets[np.arange(n_new), y[n_fit:]], minlength=4)
        cells += np.bincount(y[n_fit:], minlength=4)
    assert (hits / cells >= 1 - alpha - 0.02).all()


def test_without_that_promise_a_hard_class_is_covered_less(draw):
    """Or the test above could not fail."""
    logits, codes = draw(20_000, 4, np.random.default_rng(2), scale=2.0)
    prob = softmax(logits * [1, 1, 1, 0.5])
    fitted = Conformal.fit(prob[:10_000], codes[:10_000])
    fresh, last = prob[10_000:], codes[10_000:] == 3
    assert fitted.sets(fresh, 0.1)[last, 3].mean() < 0.85
    assert fitted.sets(fresh, 0.1, class_conditional=True)[last, 3].mean() > 0.88


@settings(derandomize=True, max_examples=40, deadline=None)
@given(
    st.sampled_from(SCORES), st.lists(st.floats(0.001, 0.999), min_size=2, max_size=5), st.booleans(),
    st.sampled_from(["include", "marginal"]), st.integers(1, 400),
)  # fmt: skip
def test_sets_grow_as_alpha_falls(cells, score, alphas, class_conditional, few, n_fit):
    logits, codes = cells
    prob = softmax(logits)
    fitted = Conformal.fit(prob[:n_fit], codes[:n_fit], score=score)
    narrower = np.zeros((200, 5), dtype=bool)
    for alpha in sorted(alphas, reverse=True):
        wider = fitted.sets(prob[-200:], alpha, class_conditional=class_conditional, few=few)
        assert (narrower <= wider).all()
        narrower = wider


@pytest.mark.parametrize("score", SCORES)
def test_sets_hold_the_most_probable_class_unless_they_may_be_empty(cells, score):
    prob = softmax(cells[0] * 2)
    fitted = Conformal.fit(prob[:500], cells[1][:500], score=score)
    for alpha in (0.1, 0.5, 0.9):
        full = fitted.sets(prob[500:], alpha)
        bare = fitted.sets(prob[500:], alpha, never_empty=False)
        assert full.dtype == bool
        assert full[np.arange(3500), prob[500:].argmax(1)].all()
        added = full & ~bare
        assert added.sum(1).max() <= 1
        assert (added.argmax(1) == prob[500:].argmax(1))[added.any(1)].all()
        assert (bare <= full).all()
    assert not fitted.sets(prob[500:], 0.9, never_empty=False).any(1).all()


@pytest.mark.parametrize(("n_classes", "scale"), [(5, 3.0), (20, 4.5), (100, 6.0)])
@pytest.mark.parametrize("distortion", [0.5, 1.0, 2.5])
def test_the_default_has_the_smallest_sets(draw, n_classes, scale, distortion):
    """What the docstring says was found."""
    logits, codes = draw(5000, n_classes, np.random.default_rng(3), scale=scale)
    prob = softmax(logits * distortion)
    sizes = {}
    for score in SCORES:
        fitted = Conformal.fit(prob[:1000], codes[:1000], score=score)
        sets = fitted.sets(prob[1000:], 0.1)
        assert sets[np.arange(4000), codes[1000:]].mean() > 0.88
        sizes[score] = sets.sum(1).mean()
    assert min(sizes, key=sizes.get) == Conformal.fit(prob[:1000], codes[:1000]).score == "lac"


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_the_threshold_is_the_corrected_quantile():
    own = np.linspace(0.05, 0.95, 19)
    prob = np.column_stack([own, 1 - own])
    fitted = Conformal.fit(prob, np.zeros(19, int))
    for alpha, rank in ((0.05, 19), (0.1, 18), (0.5, 10), (0.94, 2), (0.99, 1)):  # ceil(20 * (1 - alpha))
        found = fitted.thresholds(alpha)
        np.testing.assert_allclose(found.values, np.sort(1 - own)[rank - 1], rtol=1e-6)
        assert found.too_few == {}


def test_scores_by_hand():
    prob = np.array([[0.5, 0.125, 0.375]])
    codes = np.array([1])
    assert Conformal.fit(prob, codes).scores[1].tolist() == [0.875]
    drawn = np.random.default_rng(7).spawn(1)[0].random()
    assert drawn != np.random.default_rng(7).random()  # a query of the same seed has draws of its own
    plain = Conformal.fit(prob, codes, score="aps", random_state=7).scores[1]
    np.testing.assert_allclose(plain, [0.875 + drawn * 0.125])
    longer = Conformal.fit(prob, codes, score="raps", penalty=0.5, free_ranks=1, random_state=7).scores[1]
    np.testing.assert_allclose(longer, plain + 2 * 0.5)


def test_both_quantiles_of_a_small_table():
    prob = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.7, 0.3], [0.5, 0.5]])
    fitted = Conformal.fit(prob, np.array([0, 0, 0, 1, 1]))
    assert fitted.n_cells == (3, 2)
    np.testing.assert_allclose(fitted.thresholds(0.34).values, [0.6, 0.6], rtol=1e-6)  # 4th of .1 .2 .5 .6 .7
    np.testing.assert_allclose(fitted.thresholds(0.34, class_conditional=True).values, [0.6, 0.7], rtol=1e-6)
    np.testing.assert_allclose(fitted.thresholds(0.5, class_conditional=True).values, [0.2, 0.7], rtol=1e-6)


@pytest.mark.parametrize(("alpha", "needed"), [(0.1, 9), (0.05, 19), (0.01, 99), (0.3, 3), (0.2, 4), (0.001, 999)])
def test_classes_with_too_few_cells_are_named(alpha, needed):
    counts = [needed, needed - 1, 0, needed + 5]
    codes = np.repeat(np.arange(4), counts)
    prob = softmax(np.random.default_rng(0).normal(size=(len(codes), 4)))
    fitted = Conformal.fit(prob, codes)
    found = fitted.thresholds(alpha, class_conditional=True)
    assert found.too_few == {1: needed - 1, 2: 0}
    assert found.needed == needed
    assert np.isinf(found.values).tolist() == [False, True, True, False]
    sets = fitted.sets(prob, alpha, class_conditional=True)
    assert sets[:, [1, 2]].all()
    assert fitted.thresholds(alpha).too_few == {}


def test_few_cells_may_share_the_threshold_of_all():
    """Or take what covers their own, where they are harder: else sets could shrink as alpha falls."""
    own = {0: np.linspace(0.5, 0.9, 40), 1: np.array([0.05, 0.6]), 2: np.array([0.95]), 3: np.empty(0)}
    codes = np.repeat(np.arange(4), [len(each) for each in own.values()])
    prob = np.repeat((1 - np.concatenate(list(own.values())))[:, None] / 3, 4, axis=1)
    prob[np.arange(len(codes)), codes] = np.concatenate(list(own.values()))
    fitted = Conformal.fit(prob, codes)
    overall = fitted.thresholds(0.1).values[0]
    found = fitted.thresholds(0.1, class_conditional=True, few="marginal")
    large = fitted.thresholds(0.1, class_conditional=True).values[0]
    assert 0.4 < overall < 0.5
    assert found.too_few == {1: 2, 2: 1, 3: 0}
    np.testing.assert_allclose(found.values, [large, 0.95, overall, overall], rtol=1e-6)


def test_too_few_cells_in_all_put_every_class_into_every_set():
    prob = np.array([[0.9, 0.1], [0.8, 0.2]])
    fitted = Conformal.fit(prob, np.array([0, 0]))
    found = fitted.thresholds(0.1)
    assert (found.too_few, found.needed) == ({0: 2, 1: 0}, 9)
    assert fitted.sets(prob, 0.1).all()
    assert not fitted.sets(prob, 0.5).all()


# --- what is stored ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("class_conditional", [False, True])
def test_few_stored_scores_widen_sets_by_little_and_never_narrow_them(cells, score, class_conditional):
    prob = softmax(cells[0])
    whole = Conformal.fit(prob[:3000], cells[1][:3000], score=score, max_scores=10_000)
    short = Conformal.fit(prob[:3000], cells[1][:3000], score=score, max_scores=100)
    assert whole.n_cells == short.n_cells
    assert [len(each) for each in whole.scores] == list(whole.n_cells)
    assert max(len(each) for each in short.scores) == 100
    for alpha in (0.5, 0.2, 0.1, 0.05, 0.01):
        wide, exact = (
            each.sets(prob[3000:], alpha, class_conditional=class_conditional, never_empty=False)
            for each in (short, whole)
        )
        assert (exact <= wide).all()
        limits = short.thresholds(alpha, class_conditional=class_conditional).values
        for code, own in enumerate(whole.scores):
            exact_share = (own <= whole.thresholds(alpha, class_conditional=class_conditional).values[code]).mean()
            assert (own <= limits[code]).mean() <= exact_share + 0.011 * (1 if class_conditional else 5)


@settings(derandomize=True, max_examples=20, deadline=None)
@given(st.sampled_from(SCORES), st.integers(1, 300), st.integers(1, 50))
def test_it_goes_through_json(cells, score, n_fit, max_scores):
    prob = softmax(cells[0] * 3)
    fitted = Conformal.fit(prob[:n_fit], cells[1][:n_fit], score=score, max_scores=max_scores, penalty=0.1)
    text = json.dumps(fitted.to_dict(), allow_nan=False)
    again = Conformal.from_dict(json.loads(text))
    assert json.dumps(again.to_dict()) == text
    for alpha in (0.01, 0.1, 0.4):
        for conditional in (False, True):
            np.testing.assert_array_equal(
                fitted.sets(prob[-300:], alpha, class_conditional=conditional),
                again.sets(prob[-300:], alpha, class_conditional=conditional),
            )


@pytest.mark.parametrize("score", SCORES)
def test_the_same_seed_gives_the_same_sets_and_blocks_do_not_matter(cells, score):
    prob = softmax(cells[0])
    first, second = (Conformal.fit(prob[:500], cells[1][:500], score=score, random_state=3) for _ in range(2))
    assert first.to_dict() == second.to_dict()
    whole = first.sets(prob[500:], 0.1, random_state=1)
    rng = np.random.default_rng(1)
    blocks = [first.sets(prob[start : start + 700], 0.1, random_state=rng) for start in range(500, 4000, 700)]
    np.testing.assert_array_equal(whole, np.concatenate(blocks))
    assert score == "lac" or (whole != first.sets(prob[500:], 0.1, random_state=2)).any()


def test_double_and_single_precision_give_the_same_sets(cells):
    double = special.softmax(cells[0][:500], axis=1)
    single = double.astype(np.float32)
    fitted = Conformal.fit(double, cells[1][:500])
    assert fitted.to_dict() == Conformal.fit(single, cells[1][:500]).to_dict()
    # calibration cells themselves lie on the thresholds: a rounding error would drop them
    own = fitted.sets(single, 0.2, never_empty=False)[np.arange(500), cells[1][:500]]
    assert own.sum() == np.ceil(501 * 0.8)


def test_no_cells_and_one_class():
    fitted = Conformal.fit(np.ones((3, 1)), np.zeros(3, int))
    assert fitted.sets(np.ones((2, 1)), 0.1).all()
    assert fitted.sets(np.empty((0, 1)), 0.1).shape == (0, 1)


def test_what_makes_no_sense():
    prob, codes = np.full((4, 2), 0.5), np.array([0, 1, 0, 1])
    fitted = Conformal.fit(prob, codes)
    for alpha in (0, 1, -0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match="must be a share between 0 and 1, both excluded; for example 0.1"):
            fitted.sets(prob, alpha)
    with pytest.raises(ValueError, match="`prob` has 3 columns, but it was fitted with 2; pass what the same model"):
        fitted.sets(np.full((1, 3), 1 / 3), 0.1)
    with pytest.raises(ValueError, match="`few='drop'` is not one of 'include', 'marginal'"):
        fitted.sets(prob, 0.1, few="drop")
    with pytest.raises(ValueError, match=r"`score='lax'` is not one of 'lac', .* Did you mean 'lac'\?"):
        Conformal.fit(prob, codes, score="lax")
    with pytest.raises(ValueError, match="There are no cells"):
        Conformal.fit(prob[:0], codes[:0])
    with pytest.raises(ValueError, match=r"\(cell 3: 2\); expected 0 to 1"):
        Conformal.fit(prob, np.array([0, 1, 0, 2]))
    with pytest.raises(ValueError, match="`prob` has 4 of 4 rows that are no probabilities"):
        Conformal.fit(prob * 3, codes)
    with pytest.raises(ValueError, match="`max_scores=0` must be a whole number above 0"):
        Conformal.fit(prob, codes, max_scores=0)
    with pytest.raises(ValueError, match="`penalty=-1` must be at least 0"):
        Conformal.fit(prob, codes, score="raps", penalty=-1)
