"""Every way in which a matrix can be stored, and a check that reading leaves an object as it was."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

N_CELLS, N_GENES = 53, 17

Store = Callable[..., ad.AnnData]


def named(matrix: Any, obs: pd.DataFrame | None = None) -> ad.AnnData:
    """Cells c0, c1, ... and genes g0, g1, ..., with the matrix also as a layer."""
    obs = pd.DataFrame(index=[f"c{i}" for i in range(matrix.shape[0])]) if obs is None else obs
    return ad.AnnData(matrix, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(matrix.shape[1])]))


def _dask(convert: Callable[[np.ndarray], Any], chunks: tuple[int, int]) -> Callable[[np.ndarray], Any]:
    def build(values: np.ndarray) -> Any:
        import dask.array as da

        return da.from_array(values, chunks=chunks).map_blocks(convert)

    return build


IN_MEMORY: dict[str, Callable[[np.ndarray], Any]] = {
    "dense": lambda values: np.array(values, order="C"),
    "dense F": lambda values: np.array(values, order="F"),
    "csr_matrix": sparse.csr_matrix,
    "csc_matrix": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "csc_array": sparse.csc_array,
    "dask dense": _dask(np.asarray, (10, N_GENES)),
    "dask dense, cut both ways": _dask(np.asarray, (20, 5)),
    "dask csr_matrix": _dask(sparse.csr_matrix, (10, N_GENES)),
    "dask csr_array": _dask(sparse.csr_array, (53, N_GENES)),
}
ON_DISK = {
    "backed dense": np.asarray,
    "backed csr": sparse.csr_matrix,
    "backed csc": sparse.csc_matrix,
    "zarr dense": np.asarray,
    "zarr csr": sparse.csr_matrix,
    "zarr csc": sparse.csc_matrix,
}


def stored(how: str, values: np.ndarray, folder: Path, obs: pd.DataFrame | None = None) -> ad.AnnData:
    """An AnnData whose X holds `values` in one of the ways named above."""
    if how in IN_MEMORY:
        return named(IN_MEMORY[how](values), obs)
    adata, path = named(ON_DISK[how](values), obs), folder / uuid.uuid4().hex
    if how.startswith("backed"):
        adata.write_h5ad(path)
        return ad.read_h5ad(path, backed="r")
    import zarr

    adata.write_zarr(path)
    held = zarr.open(str(path), mode="r")["X"]
    matrix = held if how == "zarr dense" else ad.io.sparse_dataset(held)
    return ad.AnnData(X=matrix, obs=adata.obs, var=adata.var)


def plain(matrix: Any) -> Any:
    """A copy of a matrix as arrays that can be compared exactly, with how it is stored."""
    if matrix is None:
        return None
    if sparse.issparse(matrix):
        arrays = [getattr(matrix, name).copy() for name in ("data", "indices", "indptr")]
        return [type(matrix).__name__, matrix.dtype.str, *arrays]
    if hasattr(matrix, "compute"):
        return ["dask", matrix.chunks, *plain(matrix.compute())]
    if isinstance(matrix, np.ndarray):
        return ["array", matrix.dtype.str, matrix.flags.f_contiguous, matrix.flags.writeable, np.array(matrix)]
    return [type(matrix).__name__, *plain(matrix[:])]


def state(adata: ad.AnnData) -> dict[str, Any]:
    return {
        "kind": [adata.is_view, adata.isbacked, adata.shape],
        "X": plain(adata.X),
        "layers": {name: plain(adata.layers[name]) for name in adata.layers if name is not None},
        "raw": None if adata.raw is None else plain(adata.raw.X),
        "frames": [adata.obs.copy(), adata.var.copy()],
        "names": [adata.obs_names.copy(), adata.var_names.copy(), [adata.obs_names.name, adata.var_names.name]],
        "uns": copy.deepcopy(dict(adata.uns)),
        "keys": [list(adata.obsm), list(adata.varm), list(adata.obsp), list(adata.varp)],
    }


def same(before: Any, after: Any) -> None:
    if isinstance(before, dict):
        assert list(before) == list(after)
        for key in before:
            same(before[key], after[key])
    elif isinstance(before, list | tuple):
        assert len(before) == len(after)
        for one, other in zip(before, after, strict=True):
            same(one, other)
    elif isinstance(before, pd.DataFrame):
        pd.testing.assert_frame_equal(before, after)
    elif isinstance(before, np.ndarray):
        assert before.dtype == after.dtype
        np.testing.assert_array_equal(before, after)
    elif isinstance(before, pd.Index):
        pd.testing.assert_index_equal(before, after, exact=True)
    else:
        assert before == after


@pytest.fixture
def unchanged() -> Callable[[ad.AnnData], AbstractContextManager[None]]:
    """Fails unless the object is after the block, bit by bit, what it was before."""

    @contextmanager
    def check(adata: ad.AnnData) -> Iterator[None]:
        before = state(adata)
        yield
        same(before, state(adata))

    return check


@pytest.fixture
def counts() -> np.ndarray:
    """(53, 17) float32 counts, one cell of them empty and one gene silent."""
    values = np.random.default_rng(0).poisson(0.6, (N_CELLS, N_GENES)).astype(np.float32)
    values[7], values[:, 3] = 0, 0
    return values


@pytest.fixture
def name_cells() -> Store:
    return named


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """store(how, values) gives an AnnData stored in that way."""
    return lambda how, values, obs=None: stored(how, values, tmp_path, obs)


@pytest.fixture(params=[*IN_MEMORY, *ON_DISK])
def everyhow(request: pytest.FixtureRequest) -> str:
    """Each way of storing a matrix in turn."""
    return request.param
