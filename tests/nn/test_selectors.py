"""Sparsemax and entmax15 against an oracle that knows only their definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from sims_tools.nn import SELECTORS, entmax15, get_selector, sparsemax

PROFILE = settings(derandomize=True, deadline=None, max_examples=60)
each = pytest.mark.parametrize("name", SELECTORS)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=12)
FLOATS = st.floats(-20, 20, width=32)
COARSE = st.integers(-3, 3).map(float)  # many ties
SCORES = hnp.arrays(np.float64, SHAPES, elements=FLOATS) | hnp.arrays(np.float64, SHAPES, elements=COARSE)
ROWS = hnp.arrays(np.float64, st.integers(1, 9), elements=st.floats(-3, 3, width=32))


def bisection(name: str, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares, and distance of each score from the threshold, from the definition alone."""
    power, z = (1, z) if name == "sparsemax" else (2, z / 2)
    low, high = z.max(-1, keepdims=True) - 1.0, z.max(-1, keepdims=True)
    for _ in range(80):
        middle = (low + high) / 2
        full = (np.maximum(z - middle, 0) ** power).sum(-1, keepdims=True) >= 1
        low, high = np.where(full, middle, low), np.where(full, high, middle)
    return np.maximum(z - low, 0) ** power, z - low


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def jacobian(name: str, z: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(SELECTORS[name], z)


@each
@PROFILE
@given(z=SCORES)
def test_equals_the_definition(name: str, z: np.ndarray) -> None:
    shares = SELECTORS[name](torch.from_numpy(z))
    np.testing.assert_allclose(shares.numpy(), bisection(name, z)[0], atol=1e-12)


@each
@PROFILE
@given(z=SCORES, dtype=st.sampled_from([torch.float64, torch.float32]))
def test_rows_are_on_the_simplex_and_keep_the_order(name: str, z: np.ndarray, dtype: torch.dtype) -> None:
    scores = torch.from_numpy(z).to(dtype)
    shares = SELECTORS[name](scores)
    assert shares.shape == scores.shape
    assert shares.dtype == dtype
    assert (shares >= 0).all()
    torch.testing.assert_close(shares.sum(-1), torch.ones(scores.shape[:-1], dtype=dtype), atol=1e-6, rtol=0)
    order = scores.argsort(-1)
    assert (shares.gather(-1, order).diff(dim=-1) >= 0).all()
    tied = scores.unsqueeze(-1) == scores.unsqueeze(-2)
    assert (shares.unsqueeze(-1) == shares.unsqueeze(-2))[tied].all()


@each
@PROFILE
@given(z=ROWS, shift=st.floats(-5, 5), random=st.randoms(use_true_random=False))
def test_permuting_and_shifting(name: str, z: np.ndarray, shift: float, random: np.random.Generator) -> None:
    scores, selector = torch.from_numpy(z), SELECTORS[name]
    order = list(range(len(z)))
    random.shuffle(order)
    torch.testing.assert_close(selector(scores[order]), selector(scores)[order], atol=1e-12, rtol=0)
    torch.testing.assert_close(selector(scores + shift), selector(scores), atol=1e-12, rtol=0)


@each
@PROFILE
@given(z=ROWS)
def test_gradient(name: str, z: np.ndarray) -> None:
    distance = np.abs(bisection(name, z)[1])
    assume(distance.min() > 1e-3)  # the support must not change within the finite differences
    scores = torch.from_numpy(z).requires_grad_()
    assert torch.autograd.gradcheck(SELECTORS[name], (scores,), eps=1e-6, atol=1e-6)


@each
@PROFILE
@given(z=ROWS)
def test_jacobian_is_symmetric_positive_and_blind_to_shifts(name: str, z: np.ndarray) -> None:
    full = jacobian(name, torch.from_numpy(z))
    torch.testing.assert_close(full, full.T, atol=1e-12, rtol=0)
    torch.testing.assert_close(full.sum(0), torch.zeros(len(z), dtype=full.dtype), atol=1e-12, rtol=0)
    assert torch.linalg.eigvalsh(full).min() > -1e-12


@each
def test_gradient_of_a_batch_is_that_of_its_rows(name: str) -> None:
    torch.manual_seed(0)
    scores, upstream = torch.randn(2, 4, 3, 10, dtype=torch.float64)
    scores.requires_grad_()
    (whole,) = torch.autograd.grad(SELECTORS[name](scores), scores, upstream)
    for i in range(4):
        for j in range(3):
            expected = jacobian(name, scores[i, j].detach()) @ upstream[i, j]
            torch.testing.assert_close(whole[i, j], expected, atol=1e-12, rtol=0)


@each
def test_ties(name: str) -> None:
    selector = SELECTORS[name]
    close(selector(torch.zeros(2, 4)), torch.full((2, 4), 0.25))
    close(selector(torch.tensor([7.0, 7.0, 0.0])), torch.tensor([0.5, 0.5, 0.0]))
    slope = 0.75 if name == "sparsemax" else 0.375
    close(jacobian(name, torch.zeros(4)).diagonal(), torch.full((4,), slope))


@each
def test_a_single_column_is_chosen_and_has_no_gradient(name: str) -> None:
    scores = torch.tensor([[-3.0], [0.0], [1e30]], requires_grad=True)
    shares = SELECTORS[name](scores)
    shares.sum().backward()
    assert torch.equal(shares, torch.ones(3, 1))
    assert torch.equal(scores.grad, torch.zeros(3, 1))


@each
@pytest.mark.parametrize("size", [1e4, 1e30, 3e38])
def test_large_magnitudes(name: str, size: float) -> None:
    scores = torch.tensor([[size, size, -size], [-size, size, 0.0]])
    close(SELECTORS[name](scores), torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]))


@each
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_many_features_in_float32(name: str, scale: float) -> None:
    scores = scale * torch.randn(4, 20_000, generator=torch.Generator().manual_seed(0))
    shares, exact = SELECTORS[name](scores), SELECTORS[name](scores.double())
    torch.testing.assert_close(shares.double(), exact, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(shares.sum(-1), torch.ones(4), atol=5e-6, rtol=0)


@each
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    scores = torch.randn(3, 50, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    selector = SELECTORS[name]
    shares = selector(scores)
    assert shares.dtype == torch.float32
    assert torch.equal(shares, selector(scores.float()))
    shares.square().sum().backward()
    assert scores.grad.dtype == dtype
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(selector(scores), shares)


@each
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_spoils_its_row_only(name: str, bad: float) -> None:
    scores = torch.tensor([[0.0, bad, 1.0], [0.0, 0.0, -9.0]], requires_grad=True)
    shares = SELECTORS[name](scores)
    shares.square().sum().backward()
    assert shares[0].isnan().all()
    assert scores.grad[0].isnan().all()
    close(shares[1], torch.tensor([0.5, 0.5, 0.0]))
    close(scores.grad[1], torch.zeros(3))


@each
def test_minus_infinity_is_never_chosen(name: str) -> None:
    selector, hidden = SELECTORS[name], torch.tensor([[-torch.inf, 0.3, 0.1], [-torch.inf] * 3])
    shares = selector(hidden)
    assert torch.equal(shares[0, 1:], selector(hidden[0, 1:]))
    assert shares[0, 0] == 0
    assert shares[1].isnan().all()


@each
def test_input_is_left_alone_and_no_rows_are_fine(name: str) -> None:
    scores = torch.randn(5, 6)
    before = scores.clone()
    SELECTORS[name](scores)
    assert torch.equal(scores, before)
    assert SELECTORS[name](torch.empty(0, 6)).shape == (0, 6)
    for empty in (torch.empty(3, 0), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="at least one score"):
            SELECTORS[name](empty)


def test_by_name() -> None:
    assert get_selector("sparsemax") is sparsemax
    assert get_selector("entmax15") is entmax15
    with pytest.raises(ValueError, match="'softmax'.*'sparsemax', 'entmax15'"):
        get_selector("softmax")
