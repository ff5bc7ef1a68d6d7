"""Planted stores are what anndata reads, the same in both formats, and repeat blocks in another order."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata
import numpy as np
import pytest
from benchmarks.scale.cells import BLOCK, PlantedStore
from benchmarks.scale.store import write_store

N_GENES, N_VALUES = 80, 6


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def planted(n_distinct: int = 2, seed: int = 0) -> PlantedStore:
    return PlantedStore(N_GENES, N_VALUES, n_distinct, seed)


@pytest.mark.parametrize(("name", "compression"), [("s.h5ad", None), ("s.h5ad", "lzf"), ("s.zarr", "zstd")])
def test_anndata_reads_what_was_planted(tmp_path: Path, name: str, compression: str | None):
    n_cells = BLOCK + 100
    n_values = write_store(tmp_path / name, planted(), n_cells, compression=compression)
    read = anndata.read_h5ad if name.endswith("h5ad") else anndata.read_zarr
    adata = read(tmp_path / name)
    blocks = list(planted().blocks(n_cells))
    assert adata.shape == (n_cells, N_GENES)
    assert adata.X.nnz == n_values == sum(each.counts.nnz for each in blocks)
    assert 0.5 * N_VALUES < n_values / n_cells < 2 * N_VALUES
    assert (adata.X[:BLOCK] != blocks[0].counts).nnz == 0
    assert (adata.X[BLOCK:] != blocks[1].counts).nnz == 0
    assert (adata.obs["cell_type"].cat.codes == np.concatenate([each.codes for each in blocks])).all()
    assert adata.obs_names[-1] == f"cell_{n_cells - 1}"
    assert adata.obs_names.is_unique
    with pytest.raises(FileExistsError):
        write_store(tmp_path / name, planted(), 1)


def test_a_large_store_repeats_blocks_in_another_order():
    first, second, third, fourth = planted(n_distinct=2).blocks(4 * BLOCK)
    assert (first.counts.sum(0) == third.counts.sum(0)).all()
    assert (second.counts.sum(0) == fourth.counts.sum(0)).all()
    assert (first.counts.sum(0) != second.counts.sum(0)).any()
    assert (first.counts != third.counts).nnz
    assert not (first.codes == third.codes).all()


def test_a_sample_is_of_the_same_types_and_not_in_the_store():
    sample = planted().sample(400)
    block = next(iter(planted().blocks(BLOCK)))
    codes = sample.obs["cell_type"].str.removeprefix("type_").astype(int).to_numpy()
    of_sample, of_store = (
        np.vstack([np.asarray(x[c == code].mean(0)).ravel() for code in range(20)])
        for x, c in ((sample.X, codes), (block.counts, block.codes))
    )
    nearest = ((of_sample[:, None] - of_store[None]) ** 2).sum(-1).argmin(1)
    assert (nearest == np.arange(20)).mean() > 0.8
    assert (sample.X != block.counts[:400]).nnz
