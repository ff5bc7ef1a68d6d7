"""Blocks of an annotation joined as they come."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from sims_tools.models._inference import Inferred
from sims_tools.tl import _gather
from sims_tools.tl._gather import Growing, gather


def block(n: int, *, masks: bool = True, seed: int = 0, density: float = 0.1) -> Inferred:
    rng = np.random.default_rng(seed)
    drawn = sparse.random(n, 500, density, format="csr", dtype=np.float32, random_state=seed) if masks else None
    logits, embedding = rng.random((n, 4)).astype(np.float32), rng.random((n, 3)).astype(np.float32)
    return Inferred(logits, embedding, drawn, rng.random(n) < 0.1, rng.integers(0, 4, n).astype(np.int8))


@pytest.mark.parametrize("sizes", [[7], [5, 5, 2], [1, 400, 3]])
@pytest.mark.parametrize("embedding", [True, False])
def test_blocks_are_joined_in_order(sizes, embedding):
    blocks = [block(n, seed=i) for i, n in enumerate(sizes)]
    found = gather(iter(blocks), sum(sizes), embedding=embedding)
    np.testing.assert_array_equal(found.logits, np.concatenate([each.logits for each in blocks]))
    np.testing.assert_array_equal(found.empty, np.concatenate([each.empty for each in blocks]))
    kept = np.concatenate([each.embedding for each in blocks]) if embedding else np.empty((0, 3))
    np.testing.assert_array_equal(found.embedding, kept)
    expected = sparse.vstack([each.masks for each in blocks], format="csr")
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found.masks, name), getattr(expected, name))
        assert getattr(found.masks, name).dtype == getattr(expected, name).dtype
    assert found.masks.shape == expected.shape


def test_masks_of_cells_without_any():
    found = gather(iter([block(3, density=0), block(2, density=0)]), 5, embedding=False)
    assert found.masks.shape == (5, 500)
    assert found.masks.nnz == 0


def test_without_masks_there_are_none():
    assert gather(iter([block(3, masks=False)]), 3, embedding=False).masks is None


@pytest.mark.parametrize("blocks", [[], [3, 2]])
def test_fewer_cells_than_expected(blocks):
    with pytest.raises(RuntimeError, match=f"{sum(blocks)} cells came; expected 6"):
        gather(map(block, blocks), 6, embedding=False)


def test_masks_are_not_in_memory_twice(monkeypatch):
    monkeypatch.setattr(_gather, "_SEGMENT", 1 << 15)
    drawn = block(200, density=0.2)
    stream = (drawn._replace(masks=drawn.masks.copy()) for _ in range(60))
    tracemalloc.start()
    try:
        found = gather(stream, 60 * 200, embedding=False)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(each.nbytes for each in (found.masks.data, found.masks.indices))
    assert size > 8e6
    assert peak < 1.65 * size  # indices are joined, then values, which is half of it each time


@pytest.mark.parametrize("segment", [1, 7, 1 << 10, 1 << 20])
def test_an_array_grows_at_its_end(monkeypatch, segment):
    monkeypatch.setattr(_gather, "_SEGMENT", segment)
    growing, parts = Growing(np.float32), [np.arange(n, dtype=np.float32) for n in (3, 0, 1000, 1, 24)]
    for part in parts:
        growing.append(part)
        part[:] = -part
    array = growing.close()
    np.testing.assert_array_equal(array, -np.concatenate(parts))
    assert array.dtype == np.float32


def test_an_array_that_never_grew_is_empty():
    assert Growing(np.int32).close().shape == (0,)
