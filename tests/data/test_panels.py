"""Cells shown as another reference would have measured them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from sims_tools.data._dataset import CellDataset
from sims_tools.data._kind import InputKind
from sims_tools.data._panels import PanelCells, Panels

MEASURED = np.array([[1, 1, 1, 0, 1], [1, 1, 0, 1, 1]], dtype=bool)
COUNTS = np.array([[4, 0, 2, 0, 4], [6, 3, 0, 9, 0]], dtype=np.float32)
SHARED = np.array([[20.0, 16.0], [15.0, 30.0]])
"""Totals over genes of either reference, of which those above are some."""


@pytest.fixture
def shown() -> PanelCells:
    """A cell of each of two references; the first lacks gene 3, the second gene 2."""
    cells = CellDataset(
        sparse.csr_matrix(COUNTS), np.array([0, 1]), InputKind("linear"), np.array([20.0, 30.0]), np.arange(2)
    )
    return PanelCells(cells, Panels(MEASURED, np.array([0, 1]), SHARED), seed=0)


def test_genes_that_both_measured_stay_and_others_are_the_donors(shown):
    block, totals = shown.shown(np.array([0, 1]), np.array([1, 0]))
    first, second = 16 / 15, 15 / 16  # shared total of the cell over that of its donor
    np.testing.assert_allclose(block.toarray(), [[4, 0, 0, 9 * first, 4], [6, 3, 2 * second, 0, 0]], rtol=1e-6)
    np.testing.assert_allclose(totals, [30 * first, 20 * second])
    assert block.has_canonical_format


def test_a_donor_of_the_same_reference_changes_nothing(shown):
    block, totals = shown.shown(np.array([1, 0]), np.array([1, 0]))
    np.testing.assert_array_equal(block.toarray(), COUNTS[::-1])
    np.testing.assert_array_equal(totals, [30, 20])


def test_cells_without_counts_of_shared_genes_are_shown_as_they_are():
    cells = CellDataset(
        sparse.csr_matrix(COUNTS), np.array([0, 1]), InputKind("linear"), np.array([20.0, 30.0]), np.arange(2)
    )
    for silent in (0, 1):
        shared = SHARED.copy()
        shared[silent, 1 - silent] = 0
        shown = PanelCells(cells, Panels(MEASURED, np.array([0, 1]), shared), seed=0)
        block, totals = shown.shown(np.array([0]), np.array([1]))
        np.testing.assert_array_equal(block.toarray(), COUNTS[:1])
        np.testing.assert_array_equal(totals, [20])


def test_what_was_measured_does_not_say_which_reference_a_cell_is_of():
    """Cells of one kind, of which two references measured different genes, look alike; unshown they do not."""
    rng = np.random.default_rng(0)
    rates = np.array([5.0, 5.0, 8.0, 3.0, 10.0])
    reference_of = np.repeat([0, 1], 2000)
    full = rng.poisson(rates, (4000, 5))
    counts = (full * MEASURED[reference_of]).astype(np.float32)
    shared = counts @ MEASURED.T.astype(np.float64)
    cells = CellDataset(
        sparse.csr_matrix(counts), reference_of, InputKind("linear"), counts.sum(1).astype(float), np.arange(4000)
    )
    shown = PanelCells(cells, Panels(MEASURED, reference_of, shared), seed=0)
    donors = rng.permutation(4000)
    block, totals = shown.shown(np.arange(4000), donors)
    cp10k = block.toarray() / totals[:, None]
    there, other = cp10k[:2000].mean(0), cp10k[2000:].mean(0)
    np.testing.assert_allclose(there, other, rtol=0.06)
    raw = counts / counts.sum(1, keepdims=True)
    assert (np.abs(raw[:2000].mean(0) / np.maximum(raw[2000:].mean(0), 1e-9) - 1) > 0.15).any()


def test_minibatches_repeat_with_the_seed_and_keep_labels(shown):
    again = PanelCells(shown._dataset, shown._panels, seed=0)
    for _ in range(3):
        one, two = shown[[0, 1, 1]], again[[0, 1, 1]]
        assert (one["X"].values == two["X"].values).all()
        assert one["labels"].ravel().tolist() == [0, 1, 1]
    assert shown._panels.n_cells(np.array([0, 0, 1])).tolist() == [3, 3, 2, 1, 3]


def test_who_shows_a_cell_is_drawn_anew_in_each_epoch_by_its_number():
    counts = sparse.csr_matrix(np.random.default_rng(0).integers(1, 99, (60, 5)).astype(np.float32))
    panels = Panels(MEASURED, np.arange(60) % 2, counts @ MEASURED.T.astype(np.float64))
    totals = np.asarray(counts.sum(1)).ravel()
    cells = CellDataset(counts, np.zeros(60, int), InputKind("linear"), totals, np.arange(60))
    one, other = (PanelCells(cells, panels, seed=3) for _ in range(2))
    epochs = []
    for epoch in range(3):
        one.set_epoch(epoch)
        epochs.append(one[np.arange(60)]["total_counts"])
    assert not any(epochs[k].equal(epochs[k - 1]) for k in range(3))
    other.set_epoch(2)
    assert other[np.arange(60)]["total_counts"].equal(epochs[2])
