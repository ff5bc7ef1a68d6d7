"""Temperature scaling: finds the temperature there is, stays near 1 where little is known, never changes a call."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import optimize, special

from sims_tools.confidence import Temperature, softmax

LOGITS = hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(2, 6)), elements=st.floats(-40, 40, width=32))


def nll(logits: np.ndarray, codes: np.ndarray, temperature: float) -> float:
    return -special.log_softmax(logits.astype(float) / temperature, axis=1)[np.arange(len(codes)), codes].mean()


@pytest.mark.parametrize("true", [0.3, 1.0, 2.5, 8.0])
def test_the_temperature_is_found(draw, true):
    logits, codes = draw(20_000, 8, np.random.default_rng(0))
    found = Temperature.fit(logits * true, codes)
    assert found.value == pytest.approx(true, rel=0.05)
    assert found.n_cells == 20_000
    np.testing.assert_allclose(found.apply(logits * true), softmax(logits / (found.value / true)), atol=1e-6)


def test_it_is_the_minimum_of_what_is_documented(draw):
    logits, codes = draw(40, 4, np.random.default_rng(1))

    def objective(log_beta: float) -> float:
        beta = np.exp(log_beta)
        return 40 * nll(logits * 3, codes, 1 / beta) + 2 * (beta - 1 - np.log(beta))

    best = optimize.minimize_scalar(objective, bounds=(-3, 3), method="bounded", options={"xatol": 1e-9})
    assert Temperature.fit(logits * 3, codes).value == pytest.approx(np.exp(-best.x), rel=1e-5)


@settings(derandomize=True)
@given(LOGITS, st.data())
def test_the_cells_it_was_fitted_on_are_never_less_likely(logits, data):
    codes = data.draw(hnp.arrays(np.int64, len(logits), elements=st.integers(0, logits.shape[1] - 1)))
    found = Temperature.fit(logits, codes)
    assert 0.05 <= found.value <= 20
    before, after = nll(logits, codes, 1.0), nll(logits, codes, found.value)
    assert after <= before + 1e-9 * max(before, 1)
    assert found.nll_before == pytest.approx(before, rel=1e-9, abs=1e-12)
    assert found.nll_after == pytest.approx(after, rel=1e-9, abs=1e-12)


@settings(derandomize=True)
@given(LOGITS, st.floats(0.05, 20))
def test_calls_do_not_change(logits, value):
    calls = Temperature(value).apply(logits).argmax(1)
    ranked = np.sort(logits, axis=1)
    clear = ranked[:, -1] - ranked[:, -2] > 1e-5 * value  # nearer than float32 can tell probabilities apart
    np.testing.assert_array_equal(calls[clear], logits.argmax(1)[clear])
    gap = ranked[:, -1] - logits[np.arange(len(logits)), calls]
    assert (gap <= 1e-5 * value).all()


@pytest.mark.parametrize("n_cells", [1, 3, 10])
def test_a_handful_of_cells_says_little(draw, n_cells):
    """Without the prior these few cells would do harm: the loss of new ones stays near that of no temperature."""
    rng = np.random.default_rng(2)
    fresh, truth = draw(4000, 5, rng)
    losses = []
    for _ in range(20):
        found = Temperature.fit(*draw(n_cells, 5, rng))
        losses.append(nll(fresh, truth, found.value))
    assert np.mean(losses) < nll(fresh, truth, 1.0) + 0.05


def test_cells_that_are_all_called_right_do_not_make_it_run_away():
    sure = np.eye(3)[np.arange(60) % 3] * 12
    assert Temperature.fit(sure, np.arange(60) % 3).value == pytest.approx(1, abs=0.05)
    faint = sure / 1000  # right every time by a hair: without bound and prior the temperature would be 0
    assert 0.05 <= Temperature.fit(faint, np.arange(60) % 3).value < 1


def test_cells_that_are_all_called_wrong_reach_the_bound():
    wrong = np.eye(3)[np.arange(60) % 3] * 500
    found = Temperature.fit(wrong, (np.arange(60) + 1) % 3)
    assert found.value == 20
    assert found.nll_after < found.nll_before


def test_one_class_only_and_one_cell_only(draw):
    logits, codes = draw(300, 4, np.random.default_rng(3))
    only = codes == 2
    assert 0.5 < Temperature.fit(logits[only], codes[only]).value < 2
    assert 0.5 < Temperature.fit(np.array([[2.0, 0.0]]), np.array([0])).value < 1
    assert Temperature.fit(np.array([[7.0]]), np.array([0])).value == pytest.approx(1)  # nothing to learn from


def test_overflowed_logits_give_a_temperature():
    logits = np.array([[np.inf, 0, 1], [0, 3, -np.inf], [2, np.inf, 0]], dtype=np.float32)
    found = Temperature.fit(logits, np.array([0, 1, 0]))
    assert np.isfinite([found.value, found.nll_before, found.nll_after]).all()
    assert np.isfinite(found.apply(logits)).all()


def test_input_stays_as_it_is_and_any_type_will_do():
    logits = np.array([[1, 2, 3], [3, 1, 2]])
    expected = Temperature.fit(logits.astype(float), np.array([2, 0]))
    for dtype in (np.int32, np.float16, np.float32):
        values = logits.astype(dtype)
        values.flags.writeable = False
        assert Temperature.fit(values, np.array([2, 0], dtype=np.int8)) == expected
    np.testing.assert_array_equal(logits, [[1, 2, 3], [3, 1, 2]])


def test_allowed_classes_are_those_of_the_softmax():
    allowed = np.array([True, False, True])
    prob = Temperature(2.0).apply(np.array([[2.0, 9.0, 0.0]]), allowed)
    np.testing.assert_allclose(prob, softmax(np.array([[1.0, 4.5, 0.0]]), allowed))
    assert Temperature(2.0).apply(np.empty((0, 3))).shape == (0, 3)


def test_it_goes_through_json(draw):
    for found in (Temperature(), Temperature.fit(*draw(50, 3, np.random.default_rng(4)))):
        assert Temperature.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False))) == found


def test_what_cannot_be_fitted():
    logits = np.zeros((4, 3))
    with pytest.raises(ValueError, match=r"`logits` has shape \(4,\); expected \(n_cells, n_columns\)"):
        Temperature.fit(np.zeros(4), np.zeros(4, int))
    with pytest.raises(ValueError, match="There are no cells; pass at least one held-out cell"):
        Temperature.fit(np.zeros((0, 3)), np.zeros(0, int))
    with pytest.raises(ValueError, match=r"`codes` has shape \(3,\); expected \(4,\)"):
        Temperature.fit(logits, np.zeros(3, int))
    with pytest.raises(ValueError, match=r"`codes` has 2 of 4 values out of range \(cell 1: -1\); expected 0 to 2"):
        Temperature.fit(logits, np.array([0, -1, 2, 3]))
    with pytest.raises(ValueError, match="`codes` is of type float64; expected whole numbers"):
        Temperature.fit(logits, np.zeros(4))
    with pytest.raises(ValueError, match=r"`logits` is NaN in 1 of 4 cells \(first: cell 2\); leave them out"):
        Temperature.fit(np.where(np.arange(12).reshape(4, 3) == 7, np.nan, 0), np.zeros(4, int))
    with pytest.raises(ValueError, match="`logits` is of type <U1; expected numbers"):
        Temperature.fit(np.full((4, 3), "a"), np.zeros(4, int))


@pytest.mark.parametrize("value", [0, -1, 0.01, 100, float("nan"), float("inf")])
def test_what_is_no_temperature(value):
    with pytest.raises(ValueError, match=r"must be a temperature from 0.05 to 20"):
        Temperature(value)
