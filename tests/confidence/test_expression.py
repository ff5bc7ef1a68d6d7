"""Novelty from expression: a class that was held out is found, known cells are kept, missing genes are borne."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from sims_tools.confidence import ExpressionNovelty

N_GENES, N_CLASSES = 200, 6


def draw(n: int, rng: np.random.Generator, classes: range = range(N_CLASSES)) -> tuple[sparse.csr_matrix, np.ndarray]:
    """log1p CP10K of Poisson counts, and classes: each has ten genes of its own, depth varies threefold."""
    codes = rng.choice(list(classes), n)
    rates = np.random.default_rng(0).gamma(0.5, size=N_GENES) + 0.02
    means = np.tile(rates, (n, 1))
    for shift in range(10):
        means[np.arange(n), codes * 10 + shift] *= 8
    counts = rng.poisson(means * rng.uniform(1, 3, size=(n, 1)))
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    return sparse.csr_matrix(np.log1p(counts / totals * 1e4), dtype=np.float32), codes


@pytest.fixture(scope="module")
def fitted() -> ExpressionNovelty:
    rng = np.random.default_rng(1)
    known = range(N_CLASSES - 1)
    return ExpressionNovelty.fit(*draw(1200, rng, known), [draw(150, rng, known)[0] for _ in range(3)], n_components=10)


@pytest.fixture(scope="module")
def queries() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Known and novel cells."""
    rng = np.random.default_rng(2)
    return draw(500, rng, range(N_CLASSES - 1))[0], draw(500, rng, range(N_CLASSES - 1, N_CLASSES))[0]


def auroc(known: np.ndarray, novel: np.ndarray) -> float:
    return roc_auc_score(np.repeat([0, 1], [len(known), len(novel)]), np.concatenate([known, novel]))


def test_a_class_that_was_held_out_is_found_and_known_cells_are_kept(fitted, queries):
    known, novel = map(fitted.score, queries)
    assert known.dtype == np.float32
    assert known.shape == (500,)
    assert auroc(known, novel) > 0.95
    assert fitted.known.n_cells == 450
    assert fitted.known.beyond(known, 0.05).mean() == pytest.approx(0.05, abs=0.03)
    assert fitted.known.beyond(novel, 0.05).mean() > 0.6


def test_both_parts_are_needed():
    """What lies outside has a sure class and a large distance; what lies between two classes the other way round."""
    rng = np.random.default_rng(3)
    known = range(N_CLASSES - 1)
    fitted = ExpressionNovelty.fit(*draw(1200, rng, known), [draw(400, rng, known)[0]], n_components=10)
    cells = draw(200, rng, known)[0]
    first, second = draw(200, rng, range(1))[0], draw(200, rng, range(1, 2))[0]
    between = sparse.csr_matrix(np.log1p((np.expm1(first.toarray()) + np.expm1(second.toarray())) / 2))
    distance, energy = (np.median(fitted._parts(between)[0], axis=0) - fitted.middle) / fitted.spread
    assert energy > distance
    assert auroc(fitted.score(cells), fitted.score(between)) > 0.85


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_missing_genes_reject_few_more_known_cells(fitted, queries, share):
    """Far fewer than where they pass for silent ones, and what is novel is still found."""
    missing = np.random.default_rng(4).random(N_GENES) < share
    known, novel = (sparse.csr_matrix(each.multiply(~missing[None, :])) for each in queries)
    part = fitted.without(missing)
    rejected = part.known.beyond(part.score(known), 0.05).mean()
    silent = fitted.known.beyond(fitted.score(known), 0.05).mean()
    assert (
        rejected < 0.09 + 0.2 * share
    )  # three standard errors above what is asked for, and the price of missing genes
    assert rejected < silent / 2 or share == 0.1
    assert auroc(part.score(known), part.score(novel)) > 0.85


def test_no_missing_gene_no_change(fitted):
    assert fitted.without(np.zeros(N_GENES, bool)) is fitted


def test_cells_of_zeros_are_as_novel_as_can_be(fitted):
    score = fitted.score(sparse.csr_matrix((2, N_GENES), dtype=np.float32))
    assert (score >= 1e6).all()
    assert fitted.known.beyond(score, 0.01).all()


def test_a_round_trip_through_arrays_keeps_every_bit(fitted, queries):
    stored = fitted.to_arrays()
    assert all(isinstance(each, np.ndarray) for each in stored.values())
    again = ExpressionNovelty.from_arrays(stored)
    np.testing.assert_array_equal(again.score(queries[1]), fitted.score(queries[1]))
    missing = np.arange(N_GENES) % 3 == 0
    np.testing.assert_array_equal(again.without(missing).score(queries[0]), fitted.without(missing).score(queries[0]))
    assert again.known.n_cells == fitted.known.n_cells


def test_the_same_cells_give_the_same_bits(queries):
    first, second = (
        ExpressionNovelty.fit(*draw(300, np.random.default_rng(5)), [draw(50, np.random.default_rng(6))[0]]).score(
            queries[0]
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_scores_do_not_depend_on_the_block_a_cell_is_in(fitted, queries):
    whole = fitted.score(queries[0])
    parts = np.concatenate([fitted.score(queries[0][start : start + 7]) for start in range(0, 500, 7)])
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("n_classes", [1, 2])
def test_few_classes_few_cells(n_classes):
    rng = np.random.default_rng(7)
    rows, codes = draw(12, rng, range(n_classes))
    codes[:n_classes] = np.arange(n_classes)
    fitted = ExpressionNovelty.fit(rows, codes, [draw(1, rng, range(1))[0]])
    assert np.isfinite(fitted.score(draw(20, rng)[0])).all()
