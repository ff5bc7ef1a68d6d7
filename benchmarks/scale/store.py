"""Make a store: `python -m benchmarks.scale.store OUT.h5ad|OUT.zarr --cells 1000000`.

Cells are planted, see `cells.py`, and written as they are drawn: memory does not grow with their number. `.zarr` is
zarr v3, sharded. A store of more than `--distinct` blocks of 8,192 cells repeats these blocks with their rows in
another order: it is as large and as costly to read as one whose cells all differ, and quicker to make.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata.io import write_elem
from benchmarks.speed.counts import N_CLASSES, Cells
from benchmarks.speed.watermark import STATUS, _status

from .cells import PlantedStore

CHUNK, SHARD = 1 << 18, 1 << 24
"""Values of a chunk, and of a shard, of the matrix."""
ROWS = 1 << 16
"""Rows of a chunk of what there is for each cell."""


def write_store(path: Path, planted: PlantedStore, n_cells: int, *, compression: str | None = None) -> int:
    """Write so many cells; the number of stored values comes back.

    Parameters
    ----------
    path
        Ends in `.h5ad` or `.zarr`; nothing is there yet.
    planted
        What is written.
    n_cells
        How many of it.
    compression
        Of the matrix: None; "lzf" or "gzip" for `.h5ad`, "zstd" for `.zarr`, both with bytes shuffled.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists.")
    warnings.filterwarnings("ignore", message="zarr v3 autosharding|Consolidated metadata is currently not part")
    root, make = _new_zarr(path, compression) if path.suffix == ".zarr" else _new_h5ad(path, compression)
    root.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    write_elem(root, "var", pd.DataFrame(index=[f"gene_{gene}" for gene in range(planted.n_genes)]))
    for name in ("obsm", "varm", "obsp", "varp", "layers", "uns"):
        write_elem(root, name, {})
    group = root.create_group("X")
    shape = [n_cells, planted.n_genes]
    group.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": shape})
    parts = {"data": "float32", "indices": "int32", "indptr": "int64"}
    arrays = {name: _Appended(make(group, name, dtype)) for name, dtype in parts.items()}
    arrays["indptr"].append(np.zeros(1, np.int64))
    n_rows = n_values = 0
    for cells in planted.blocks(n_cells):
        arrays["data"].append(cells.counts.data)
        arrays["indices"].append(cells.counts.indices)
        arrays["indptr"].append(cells.counts.indptr[1:].astype(np.int64) + n_values)
        _append_obs(root, cells, n_rows)
        n_rows, n_values = n_rows + len(cells.codes), n_values + cells.counts.nnz
    for each in arrays.values():
        each.close()
    if path.suffix == ".zarr":
        import zarr

        zarr.consolidate_metadata(root.store)
    else:
        root.close()
    return n_values


class _Appended:
    """An array that grows by whole shards, so that none is written twice."""

    def __init__(self, array: Any) -> None:
        self._array, self._n, self._waiting, self._n_waiting = array, 0, [], 0
        self._step = getattr(array, "shards", None) or array.chunks

    def append(self, values: np.ndarray) -> None:
        self._waiting.append(values)
        self._n_waiting += len(values)
        if whole := self._n_waiting // self._step[0] * self._step[0]:
            self._write(whole)

    def close(self) -> None:
        self._write(self._n_waiting)

    def _write(self, n: int) -> None:
        values = np.concatenate(self._waiting) if self._waiting else np.empty(0, self._array.dtype)
        self._array.resize((self._n + n,))
        self._array[self._n : self._n + n] = values[:n]
        self._waiting, self._n, self._n_waiting = [values[n:].copy()], self._n + n, len(values) - n


def _append_obs(root: Any, cells: Cells, start: int) -> None:
    """Names and types of the next cells; anndata writes the first, and so the form of all."""
    stop = start + len(cells.codes)
    names = [f"cell_{i}" for i in range(start, stop)]
    if start == 0:
        types = pd.Categorical.from_codes(cells.codes, [f"type_{code}" for code in range(N_CLASSES)])
        growing = {"chunks": (ROWS,)} if hasattr(root, "store") else {"chunks": (ROWS,), "maxshape": (None,)}
        write_elem(
            root, "obs", pd.DataFrame({"cell_type": types}, index=pd.Index(names, dtype=object)), dataset_kwargs=growing
        )
        return
    for array, values in ((root["obs/_index"], names), (root["obs/cell_type/codes"], cells.codes)):
        array.resize((stop,))
        array[start:stop] = np.asarray(values, dtype=object if values is names else array.dtype)


def _new_h5ad(path: Path, compression: str | None) -> tuple[Any, Any]:
    import h5py

    def make(group: Any, name: str, dtype: str) -> Any:
        packed = {"compression": compression, "shuffle": True} if compression else {}
        return group.create_dataset(name, (0,), dtype, chunks=(CHUNK,), maxshape=(None,), **packed)

    return h5py.File(path, "w"), make


def _new_zarr(path: Path, compression: str | None) -> tuple[Any, Any]:
    import zarr
    from zarr.codecs import BloscCodec

    def make(group: Any, name: str, dtype: str) -> Any:
        packed = BloscCodec(cname=compression, clevel=3, shuffle="shuffle") if compression else None
        return group.create_array(name, shape=(0,), dtype=dtype, chunks=(CHUNK,), shards=(SHARD,), compressors=packed)

    return zarr.open_group(path, mode="w-", zarr_format=3), make


def size_on_disk(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return (
        sum(each.stat().st_size for each in path.rglob("*") if each.is_file()) if path.is_dir() else path.stat().st_size
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--genes", type=int, default=20_000)
    parser.add_argument("--values", type=int, default=600, help="stored values of a cell, about")
    parser.add_argument("--distinct", type=int, default=16, help="blocks of 8,192 cells that differ")
    parser.add_argument("--compression", choices=("lzf", "gzip", "zstd"))
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    start = time.perf_counter()
    planted = PlantedStore(chosen.genes, chosen.values, chosen.distinct, chosen.seed)
    n_values = write_store(chosen.out, planted, chosen.cells, compression=chosen.compression)
    size = size_on_disk(chosen.out)
    print(f"{chosen.cells:,} cells, {n_values / chosen.cells:.0f} values each, {size / 1e9:.2f} GB")
    memory = f", peak memory {_status('VmHWM') / 1e9:.2f} GB" if STATUS.exists() else ""
    print(f"{time.perf_counter() - start:.0f} s{memory}")


if __name__ == "__main__":
    main()
