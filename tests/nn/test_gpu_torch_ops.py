"""The wide operations of the GPU's TabNet in plain torch, against dense algebra and autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from sims_tools.nn import GhostBatchNorm, SparseRows, entmax15, sparsemax
from sims_tools.nn._gpu import _torch_ops
from sims_tools.nn._gpu._chunks import Chunks, Ghosts
from sims_tools.nn._gpu._pattern import Pattern
from sims_tools.nn._gpu._torch_ops import Upstream


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed + sum(shape)))


def sparse(rows: int, columns: int, density: float) -> tuple[Tensor, Pattern]:
    x = random(rows, columns) * (torch.rand(rows, columns, generator=torch.Generator().manual_seed(0)) < density)
    return x, Pattern(SparseRows.from_dense(x))


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("go_on", [True, False])
def test_select_and_its_gradient(power: int, go_on: bool) -> None:
    chunks = Chunks.cut(5, 3)
    scores, scale, bias = random(5, 11), 0.5 + random(2, 11).square(), random(11)
    prior = random(5, 11, seed=1).square().requires_grad_()
    y = (scores * scale[[0, 0, 0, 1, 1]] + bias).requires_grad_()
    mask = (sparsemax if power == 1 else entmax15)(y * prior)
    expected = [mask, -(mask * (mask + 1e-15).log()).sum(1), *([prior * (1.3 - mask)] if go_on else [])]
    options = {"chunks": chunks, "power": power, "gamma": 1.3}
    selecting = {"limit": scores.shape[1], "allowed": None, "go_on": go_on, **options}
    found = _torch_ops.select(scores, scale, bias, prior.detach(), **selecting)
    assert (found.next_prior is not None) == go_on
    for one, other in zip([found.mask, found.entropy, found.next_prior], expected, strict=False):
        torch.testing.assert_close(one, other.detach())

    grads = [random(5, 11, seed=2), random(5), *([random(5, 11, seed=3)] if go_on else [])]
    upstream = Upstream(grads[0], grads[2] if go_on else None, grads[1])
    back = _torch_ops.select_backward(found.mask, upstream, scores, scale, bias, prior.detach(), **options)
    for one, other in zip(back, torch.autograd.grad(expected, (y, prior), grads), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size", [2, 3, 4, 8, 9, None])
def test_batch_norm_of_chunks(size: int | None) -> None:
    chunks = Chunks.cut(9, size)
    x, weight, grad = random(9, 7).requires_grad_(), random(7).requires_grad_(), random(9, 7, seed=1)
    scores, mean = chunks.centre(x.detach())
    moment = _torch_ops.second_moment(scores, chunks)
    parts = x.split([chunks.size] * (chunks.count - 1) + [9 - chunks.size * (chunks.count - 1)])
    torch.testing.assert_close(mean, torch.stack([part.mean(0) for part in parts]))
    torch.testing.assert_close(moment, torch.stack([part.var(0, correction=0) for part in parts]))

    normed = torch.cat([F.batch_norm(part, None, None, weight, training=True) for part in parts])
    expected, expected_weight = torch.autograd.grad(normed, (x, weight), grad)
    rstd = (moment + 1e-5).rsqrt()
    found = _torch_ops.norm_backward(grad.clone(), scores, weight.detach() * rstd, rstd, chunks)
    torch.testing.assert_close(found.grad, expected)
    torch.testing.assert_close((found.along * rstd).sum(0), expected_weight)
    torch.testing.assert_close(found.total.sum(0), grad.sum(0))


@pytest.mark.parametrize("size", [1, 3, 4, 8, None])
@pytest.mark.parametrize("momentum", [0.02, 1.0])
def test_running_statistics_of_all_chunks_at_once(size: int | None, momentum: float) -> None:
    norm, other = (GhostBatchNorm(7, size, momentum).double() for _ in range(2))
    ghosts, x = Ghosts(9), random(9, 7)
    norm(x)
    chunks = ghosts.chunks(other)
    centred, mean = chunks.centre(x)
    lengths = chunks.lengths(mean)
    variance = _torch_ops.second_moment(centred, chunks) * lengths / (lengths - 1)
    for _ in range(2):
        norm(x)
    for _ in range(3):
        ghosts.update(other.bn, chunks, mean, variance)
    for name, value in norm.bn.state_dict().items():
        torch.testing.assert_close(other.bn.state_dict()[name], value)
    assert ghosts.chunks(other.eval()) is None
    assert Ghosts(1).chunks(norm) is None


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("masked", [True, False])
def test_products_of_sparse_rows(density: float, masked: bool) -> None:
    x, pattern = sparse(6, 23, density)
    mask = random(6, 23, seed=2).clamp(min=0) if masked else torch.ones(6, 23, dtype=x.dtype)
    table, left = random(23, 5), random(6, 5)
    given = mask if masked else None
    torch.testing.assert_close(_torch_ops.product(pattern.by_row, table, given), (x * mask) @ table)
    transposed = _torch_ops.product(pattern.by_column, left, None if given is None else given.t())
    torch.testing.assert_close(transposed, (x * mask).t() @ left)
    out = random(6, 23, seed=3)
    expected = out + x * (left @ table.t())
    _torch_ops.add_sampled(out, pattern.by_row, left, table, mask)
    torch.testing.assert_close(out[mask > 0], expected[mask > 0])


def test_columns_hold_the_same_entries_in_order() -> None:
    x, pattern = sparse(6, 23, 0.3)
    columns = SparseRows.from_dense(x.t())
    for found, expected in zip(pattern.by_column, (columns.indptr, columns.indices, columns.values), strict=True):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
