"""The same cells in every storage an AnnData may have."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

Store = Callable[[ad.AnnData], ad.AnnData]

IN_MEMORY: dict[str, Callable[[sparse.csr_matrix], object]] = {
    "dense": lambda counts: counts.toarray(),
    "dense, column order": lambda counts: np.asfortranarray(counts.toarray()),
    "dense float64": lambda counts: counts.toarray().astype(np.float64),
    "dense int": lambda counts: counts.toarray().astype(np.int32),
    "csr": lambda counts: counts.copy(),
    "csr int": lambda counts: counts.astype(np.int64),
    "csr float64": lambda counts: counts.astype(np.float64),
    "csr, unsorted": lambda counts: _unsorted(counts),
    "csc": lambda counts: counts.tocsc(),
    "csr_array": lambda counts: sparse.csr_array(counts),
    "csc_array": lambda counts: sparse.csc_array(counts),
    "dask": lambda counts: _dask(counts.toarray()),
    "dask csr": lambda counts: _dask(counts),
}
OTHERS = ("view", "view of a view", "backed", "backed dense", "backed csc")


@pytest.fixture(params=[*IN_MEMORY, *OTHERS])
def storage(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def store(storage: str, tmp_path: Path) -> Store:
    """Put cells into the storage; what is in memory shares nothing with them."""

    def stored(adata: ad.AnnData) -> ad.AnnData:
        adata = adata.copy()
        counts = sparse.csr_matrix(adata.X)
        if storage in IN_MEMORY:
            adata.X = IN_MEMORY[storage](counts)
            return adata
        if storage.startswith("view"):
            return _view(adata, twice=storage != "view")
        adata.X = {"backed": counts, "backed dense": counts.toarray(), "backed csc": counts.tocsc()}[storage]
        path = tmp_path / "stored.h5ad"
        adata.write_h5ad(path)
        return ad.read_h5ad(path, backed="r")

    return stored


def _unsorted(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    indices, data = counts.indices.copy(), counts.data.copy()
    for start, stop in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        indices[start:stop], data[start:stop] = indices[start:stop][::-1].copy(), data[start:stop][::-1].copy()
    return sparse.csr_matrix((data, indices, counts.indptr.copy()), shape=counts.shape)


def _dask(counts: np.ndarray | sparse.csr_matrix) -> object:
    array = pytest.importorskip("dask.array")
    return array.from_array(counts, chunks=(64, counts.shape[1]), asarray=False)


def _view(adata: ad.AnnData, *, twice: bool) -> ad.AnnData:
    """The cells as a view of an object that holds 30 more, spread among them."""
    n = adata.n_obs
    rows = np.sort(np.random.default_rng(3).permutation(n + 30)[:n])
    source = np.zeros(n + 30, dtype=int)
    source[rows] = np.arange(n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # names repeat until the next line
        parent = adata[source].copy()
    names = np.array([f"parent_{i}" for i in range(n + 30)], dtype=object)
    names[rows] = adata.obs_names
    parent.obs_names = names
    if not twice:
        return parent[rows]
    first = np.union1d(rows, np.arange(10))
    return parent[first][np.flatnonzero(np.isin(first, rows))]
