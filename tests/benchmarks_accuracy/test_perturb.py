import numpy as np
import pytest
from benchmarks.accuracy.cells import COUNTS, LOGNORM, Cells, lay_out
from benchmarks.accuracy.perturb import MISSING, RANDOM, THINNED, query_for
from scipy import sparse


@pytest.fixture
def cells():
    counts = np.random.default_rng(0).poisson(3.0, (200, 40)).astype(np.float32)
    return Cells(sparse.csr_matrix(counts), np.array([f"g{i}" for i in range(40)]), COUNTS)


def test_missing_genes_are_gone_and_the_rest_stays(cells):
    found = query_for(MISSING, 0.3, cells, seed=1)
    assert len(found.genes) == 28
    kept = np.flatnonzero(np.isin(cells.genes, found.genes))
    np.testing.assert_array_equal(found.matrix.toarray(), cells.matrix[:, kept].toarray())


def test_thinning_keeps_the_share_of_counts_and_the_original(cells):
    before = cells.matrix.toarray()
    found = query_for(THINNED, 0.2, cells, seed=1)
    assert found.matrix.sum() / before.sum() == pytest.approx(0.2, abs=0.01)
    assert (found.matrix.toarray() <= before).all()
    np.testing.assert_array_equal(cells.matrix.toarray(), before)


def test_the_same_query_for_everyone(cells):
    for task, level in ((MISSING, 0.5), (THINNED, 0.5)):
        first, second = (query_for(task, level, cells, seed=3).matrix.toarray() for _ in range(2))
        np.testing.assert_array_equal(first, second)
    assert query_for(RANDOM, None, cells, seed=3) is cells


def test_logarithms_are_not_thinned(cells):
    with pytest.raises(ValueError, match="Only counts"):
        query_for(THINNED, 0.5, Cells(cells.matrix, cells.genes, LOGNORM), seed=0)


def test_features_come_in_the_order_asked_for_with_zeros_for_the_missing(cells):
    wanted = np.array(["g5", "not there", "g0"])
    found = lay_out(cells.matrix, cells.genes, wanted).toarray()
    np.testing.assert_array_equal(found[:, [0, 2]], cells.matrix[:, [5, 0]].toarray())
    assert not found[:, 1].any()


def test_an_empty_cell_stays_empty(cells):
    matrix = cells.matrix.tolil()
    matrix[3] = 0
    found = Cells(matrix.tocsr(), cells.genes, COUNTS).log1p().toarray()
    assert not found[3].any()
    np.testing.assert_allclose(np.expm1(np.delete(found, 3, 0)).sum(1), 1e4, rtol=1e-4)
