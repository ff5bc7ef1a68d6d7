"""Ghost batch norm: torch.chunk's cuts, ordinary batch norm within, any batch size."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from sims_tools.nn import GhostBatchNorm

WIDTH = 5


def make(virtual_batch_size: int | None = 4, momentum: float = 0.02) -> GhostBatchNorm:
    torch.manual_seed(0)
    norm = GhostBatchNorm(WIDTH, virtual_batch_size, momentum).double()
    nn.init.normal_(norm.bn.weight)
    nn.init.normal_(norm.bn.bias)
    return norm


def batch(rows: int) -> Tensor:
    return 3 + 2 * torch.randn(rows, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(rows))


def by_hand(norm: GhostBatchNorm, x: Tensor) -> Tensor:
    scaled = (x - x.mean(0)) / (x.var(0, correction=0) + norm.bn.eps).sqrt()
    return scaled * norm.bn.weight + norm.bn.bias


@pytest.mark.parametrize("virtual_batch_size", range(1, 9))
@pytest.mark.parametrize("rows", range(2, 21))
def test_each_chunk_is_normalised_by_itself(rows: int, virtual_batch_size: int) -> None:
    norm, x = make(virtual_batch_size, 0.1), batch(rows)
    chunks = list(x.chunk(math.ceil(rows / max(virtual_batch_size, 2))))
    if len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    mean, var = torch.zeros(2, WIDTH, dtype=torch.float64)
    var = var + 1
    for chunk in chunks:
        mean, var = 0.9 * mean + 0.1 * chunk.mean(0), 0.9 * var + 0.1 * chunk.var(0)

    torch.testing.assert_close(norm(x), torch.cat([by_hand(norm, chunk) for chunk in chunks]))
    torch.testing.assert_close(norm.bn.running_mean, mean)
    torch.testing.assert_close(norm.bn.running_var, var)
    assert norm.bn.num_batches_tracked == len(chunks)


@pytest.mark.parametrize("virtual_batch_size", [None, 7, 128])
def test_one_chunk_is_batch_norm(virtual_batch_size: int | None) -> None:
    norm, x = make(virtual_batch_size), batch(7)
    plain = nn.BatchNorm1d(WIDTH, momentum=0.02).double()
    plain.load_state_dict(norm.bn.state_dict())
    for _ in range(3):
        assert torch.equal(norm(x), plain(x))
    assert torch.equal(norm.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rows", [0, 1])
def test_no_variance_to_be_had(rows: int, training: bool) -> None:
    norm = make()
    norm(batch(12))
    before = {key: value.clone() for key, value in norm.state_dict().items()}
    x = batch(rows).requires_grad_()
    result = norm.train(training)(x)
    assert all(torch.equal(value, before[key]) for key, value in norm.state_dict().items())
    expected = (x - norm.bn.running_mean) / (norm.bn.running_var + norm.bn.eps).sqrt() * norm.bn.weight + norm.bn.bias
    assert result.shape == (rows, WIDTH)
    torch.testing.assert_close(result, expected)
    result.sum().backward()
    assert x.grad.isfinite().all()


def test_evaluation_treats_rows_one_by_one() -> None:
    norm, x = make(), batch(10)
    norm(x)
    norm.eval()
    whole = norm(x)
    for row in range(10):
        torch.testing.assert_close(norm(x[row : row + 1]), whole[row : row + 1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "`num_features` must be at least 1, found 0"),
        ((3, 0), "`virtual_batch_size` must be at least 1, or None, found 0"),
        ((3, 2, 0.0), r"`momentum` must be in \(0, 1\], found 0.0"),
        ((3, 2, 1.5), r"`momentum` must be in \(0, 1\], found 1.5"),
    ],
)
def test_bad_parameters(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GhostBatchNorm(*arguments)


def test_prints_its_virtual_batch_size() -> None:
    assert "virtual_batch_size=4" in repr(make())
