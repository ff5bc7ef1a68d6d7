"""Each Triton kernel computes what plain torch does; on CUDA, or in Triton's interpreter where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.util import find_spec
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from sims_tools.nn import SparseRows
from sims_tools.nn._gpu import _torch_ops
from sims_tools.nn._gpu._chunks import Chunks
from sims_tools.nn._gpu._pattern import Pattern
from sims_tools.nn._gpu._torch_ops import Upstream

if find_spec("triton") is None:
    pytest.skip("needs triton", allow_module_level=True)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when the kernels are first imported

from sims_tools.nn._gpu import _triton_ops  # noqa: E402

PROFILE = settings(derandomize=True, deadline=None, max_examples=12)
SHAPES = st.tuples(st.integers(1, 4), st.integers(1, 40))
SCORES = hnp.arrays(np.float64, SHAPES, elements=st.floats(-20, 20, width=32)) | hnp.arrays(
    np.float64, SHAPES, elements=st.integers(-3, 3).map(float)
)
POWERS = [1, 2]


@pytest.fixture(autouse=True, scope="module")
def _small_blocks() -> Iterator[None]:
    """Several blocks even for few columns."""
    with (
        mock.patch.object(_triton_ops, "MAX_BLOCK_COLUMNS", 16),
        mock.patch.object(_triton_ops, "MAX_BLOCK_WIDTH", 8),
        mock.patch.object(_triton_ops, "BLOCK_ENTRIES", 4),
        mock.patch.object(_triton_ops, "NORM_BLOCK_ROWS", 4),
        mock.patch.object(_triton_ops, "MAX_NORM_BLOCK_COLUMNS", 16),
    ):
        yield


def random(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, dtype=dtype, generator=generator).to(DEVICE)


def close(found: Tensor | None, expected: Tensor | None, **tolerance: float) -> None:
    if expected is None:
        assert found is None
        return
    options = {"atol": 1e-10, "rtol": 1e-9, **tolerance}
    torch.testing.assert_close(found, expected, equal_nan=True, **options)


def choose(scores: Tensor, power: int) -> Tensor:
    options = {"chunks": None, "power": power, "gamma": 1.3, "go_on": False}
    options |= {"limit": scores.shape[1], "allowed": None}
    return _triton_ops.select(scores.to(DEVICE), None, None, None, **options).mask.cpu()


@pytest.mark.parametrize("power", POWERS)
@PROFILE
@given(z=SCORES, scale=st.sampled_from([1e-3, 0.1, 1.0]))
def test_threshold(power: int, z: np.ndarray, scale: float) -> None:
    scores = scale * torch.from_numpy(z)
    close(choose(scores, power), _torch_ops.SELECTOR_OF_POWER[power](scores))


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("scale", [1.0, 1e-2, 1e-4])
def test_threshold_of_many_features_in_single_precision(power: int, scale: float) -> None:
    scores = scale * torch.randn(1, 3000, generator=torch.Generator().manual_seed(0))
    with mock.patch.object(_triton_ops, "MAX_BLOCK_COLUMNS", 1024):
        shares = choose(scores, power)
    exact = _torch_ops.SELECTOR_OF_POWER[power](scores.double())
    torch.testing.assert_close(shares.double(), exact, atol=1e-6, rtol=1e-3)
    torch.testing.assert_close(shares.sum(-1), torch.ones(1), atol=2e-6, rtol=0)


@pytest.mark.parametrize("power", POWERS)
def test_support_of_every_size(power: int) -> None:
    for size in (1, 2, 16, 17, 64):
        scores = torch.full((1, 64), -9.0, dtype=torch.float64)
        scores[0, :size] = torch.linspace(0, 1e-3, size)
        shares = choose(scores, power)
        assert (shares > 0).sum() == size
        close(shares, _torch_ops.SELECTOR_OF_POWER[power](scores))


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("size", [1e4, 1e30, 3e38])
def test_large_magnitudes(power: int, size: float) -> None:
    scores = torch.tensor([[size, size, -size], [-size, size, 0.0]])
    close(choose(scores, power), torch.tensor([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]]), atol=1e-6)


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_is_not_finite_spoils_its_row_only(power: int, bad: float) -> None:
    scores = torch.zeros(4, 20, dtype=torch.float64)
    scores[1, 18] = bad
    scores[2] = bad
    with np.errstate(invalid="ignore"):
        close(choose(scores, power), _torch_ops.SELECTOR_OF_POWER[power](scores))


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("given", ["nothing", "prior", "scale", "both"])
@pytest.mark.parametrize("go_on", [True, False])
def test_select_and_its_gradient(power: int, given: str, go_on: bool) -> None:
    n_rows, n_columns, spread = 4, 21, 0.3
    chunks = Chunks.cut(n_rows, 3)
    scores, bias = spread * random(n_rows, n_columns), spread * random(n_columns)
    scale = 0.5 + random(chunks.count, n_columns).square() if given in ("scale", "both") else None
    prior = random(n_rows, n_columns, seed=1).square() if given in ("prior", "both") else None
    options = {"chunks": chunks, "power": power, "gamma": 1.3}
    arguments = scores, scale, None if scale is None else bias, prior
    selecting = {"limit": arguments[0].shape[1], "allowed": None, "go_on": go_on, **options}
    found, expected = (ops.select(*arguments, **selecting) for ops in (_triton_ops, _torch_ops))
    for one, other in zip(found, expected, strict=True):
        close(one, other)

    grads = random(n_rows, n_columns, seed=2), random(n_rows, n_columns, seed=3), random(n_rows)
    for present in ([True, go_on, True], [True, False, False], [False, False, True]):
        upstream = Upstream(*(grad if there else None for grad, there in zip(grads, present, strict=True)))
        back = [
            ops.select_backward(expected.mask, upstream, *arguments, **options) for ops in (_triton_ops, _torch_ops)
        ]
        for one, other in zip(*back, strict=True):
            close(one, other)


@pytest.mark.parametrize("size", [2, 3, 4, 9, None])
def test_batch_norm_of_chunks(size: int | None) -> None:
    chunks = Chunks.cut(9, size)
    scores, _ = chunks.centre(random(9, 37))
    moment = _torch_ops.second_moment(scores, chunks)
    close(_triton_ops.second_moment(scores, chunks), moment)
    rstd = (moment + 1e-5).rsqrt()
    scale, grad = rstd * random(37), random(9, 37, seed=1)
    found, expected = (
        ops.norm_backward(grad.clone(), scores, scale, rstd, chunks) for ops in (_triton_ops, _torch_ops)
    )
    for one, other in zip(found, expected, strict=True):
        close(one, other)


@pytest.mark.parametrize("width", [1, 5, 8, 19])
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("masked", [True, False])
def test_products_of_sparse_rows(width: int, density: float, masked: bool) -> None:
    x = random(6, 23) * (torch.rand(6, 23, generator=torch.Generator().manual_seed(0)) < density).to(DEVICE)
    pattern = Pattern(SparseRows.from_dense(x))
    mask = random(6, 23, seed=2).clamp(min=0) if masked else None
    table, left = random(23, width), random(6, width)
    close(_triton_ops.product(pattern.by_row, table, mask), _torch_ops.product(pattern.by_row, table, mask))
    columns = pattern.by_column, left, None if mask is None else mask.t()
    close(_triton_ops.product(*columns), _torch_ops.product(*columns))
    if mask is not None:
        found, expected = random(6, 23, seed=3), random(6, 23, seed=3)
        for ops, out in ((_triton_ops, found), (_torch_ops, expected)):
            ops.add_sampled(out, pattern.by_row, left, table, mask)
        close(found[mask > 0], expected[mask > 0])
