"""Bins of expression against the published recipe, written down twice more: in fractions and with numpy."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sims_tools.nn import expression_bins

COUNTS = arrays.arrays(
    np.int64, st.tuples(st.integers(1, 4), st.integers(1, 12)), elements=st.one_of(st.just(0), st.integers(0, 3000))
)
N_BINS = st.integers(1, 20)


def by_fractions(cell: np.ndarray, n_bins: int) -> list[int]:
    """Exactly: 0 stays 0, the others go by their share of the way from the smallest to the largest."""
    expressed = [int(value) for value in cell if value > 0]
    if not expressed or n_bins == 1 or min(expressed) == max(expressed):
        return [int(value > 0) for value in cell]
    low, high = min(expressed), max(expressed)
    return [int(Fraction((int(value) - low) * n_bins, high - low)) + 1 if value > 0 else 0 for value in cell]


def by_edges(cell: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """As the notebook does it, in floating point; and which values lie on an edge, where rounding decides."""
    expressed = cell[cell > 0].astype(float)
    edges = np.unique(np.linspace(expressed.min(), expressed.max(), n_bins + 1)) if len(expressed) else np.empty(0)
    if len(edges) <= 2:
        return (cell > 0).astype(int), np.zeros(len(cell), dtype=bool)
    found = np.where(cell == 0, 0, np.digitize(cell.astype(float), edges))
    return found, np.isclose(cell[:, None], edges[None, 1:-1], rtol=1e-9, atol=0).any(1)


@given(COUNTS, N_BINS)
@settings(deadline=None, max_examples=80)
def test_bins_are_those_of_the_recipe(counts, n_bins):
    bins = expression_bins(torch.tensor(counts, dtype=torch.float32), n_bins).numpy()
    assert bins.dtype == np.int64
    for cell, found in zip(counts, bins, strict=True):
        assert found.tolist() == by_fractions(cell, n_bins)
        published, at_edge = by_edges(cell, n_bins)
        np.testing.assert_array_equal(found[~at_edge], published[~at_edge])


@given(COUNTS, N_BINS, st.integers(1, 50_000))
@settings(deadline=None, max_examples=80)
def test_bins_do_not_depend_on_the_total_nor_on_a_detour_through_logarithms(counts, n_bins, total):
    counts = counts.astype(np.float32)
    bins = expression_bins(torch.tensor(counts), n_bins)
    shares = counts * np.float32(1e4 / total)
    assert torch.equal(expression_bins(torch.tensor(shares), n_bins), bins)
    assert torch.equal(expression_bins(torch.tensor(np.expm1(np.log1p(shares))), n_bins), bins)


@pytest.mark.parametrize(
    ("cell", "bins"),
    [
        ([0, 0, 0], [0, 0, 0]),
        ([0, 7, 7], [0, 1, 1]),
        ([1, 0, 15], [1, 0, 15]),
        ([1, 2, 8, 14, 15], [1, 2, 8, 14, 15]),
    ],
)
def test_bins_at_the_ends(cell, bins):
    assert expression_bins(torch.tensor([cell], dtype=torch.float32), 14).tolist() == [bins]


def test_no_cells_have_no_bins():
    assert expression_bins(torch.zeros(0, 5), 14).shape == (0, 5)
