"""Results that are written piece by piece, in the format that anndata gives them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata.io import write_elem
from scipy import sparse

from sims_tools.stores._part_file import Column, Part

_CHUNK = 1 << 16
"""Values of a chunk."""


@dataclass(frozen=True)
class Element:
    """One result of all cells.

    Attributes
    ----------
    slot
        Where it goes: "obs/sims", "obsm/sims_masks".
    empty
        The result of no cells, which says how it is written.
    pieces
        Gives the result of all cells in order, some at a time.
    n_stored
        Values that a CSR matrix stores.
    """

    slot: str
    empty: Column
    pieces: Callable[[], Iterator[Any]]
    n_stored: int = 0

    def read(self) -> Column:
        """All of it, in memory."""
        pieces: list[Any] = list(self.pieces())
        if sparse.issparse(self.empty):
            return sparse.csr_matrix(sparse.vstack(pieces, format="csr"))
        if isinstance(self.empty, pd.Categorical):
            codes = np.concatenate([piece.codes for piece in pieces])
            return pd.Categorical.from_codes(codes, self.empty.categories)
        return np.concatenate(pieces)


def element_of_parts(slot: str, parts: Sequence[Part]) -> Element:
    """A result that all parts have.

    Categories are those of the part that has most: some parts lack the last, of which none of their cells is.
    """
    first, kinds = parts[0].read(slot), [part.kinds[slot] for part in parts]
    if isinstance(first, pd.Categorical):
        first = pd.Categorical.from_codes([], max((kind["categories"] for kind in kinds), key=len))
    n_stored = sum(int(kind.get("n_stored", 0)) for kind in kinds)
    return Element(slot, first[:0], lambda: (part.read(slot) for part in parts), n_stored)


def write_element(root: Any, element: Element, n_obs: int, *, at: str | None = None) -> None:
    """Write a result into a store.

    Parameters
    ----------
    root
        Group of an HDF5 or zarr file.
    element
        The result.
    n_obs
        Cells of all pieces.
    at
        Where to; None is its slot.
    """
    *above, name = (element.slot if at is None else at).split("/")
    group = root["/".join(above)] if above else root
    if isinstance(element.empty, pd.Categorical):
        write_elem(group, name, element.empty)
        del group[name]["codes"]
        codes = (np.asarray(piece.codes) for piece in element.pieces())
        _fill(_array(group[name], "codes", np.asarray(element.empty.codes), n_obs), codes)
    elif sparse.issparse(element.empty):
        _write_sparse(group, name, element, n_obs)
    else:
        _fill(_array(group, name, element.empty, n_obs), element.pieces())


def _write_sparse(group: Any, name: str, element: Element, n_obs: int) -> None:
    width = element.empty.shape[1]
    large = max(element.n_stored, width) > np.iinfo(np.int32).max  # as scipy chooses
    empty = sparse.csr_matrix((0, width), dtype=element.empty.dtype)
    empty.indices = empty.indices.astype(np.int64 if large else np.int32)
    empty.indptr = empty.indptr.astype(empty.indices.dtype)
    write_elem(group, name, empty, dataset_kwargs={"chunks": (max(min(_CHUNK, element.n_stored), 1),)})
    held = group[name]
    held.attrs["shape"] = [n_obs, width]
    for part, length in (("data", element.n_stored), ("indices", element.n_stored), ("indptr", n_obs + 1)):
        held[part].resize((length,))
    row = stored = 0
    for piece in element.pieces():
        n_rows, n_stored = piece.shape[0], int(piece.indptr[-1])
        held["data"][stored : stored + n_stored] = piece.data
        held["indices"][stored : stored + n_stored] = piece.indices
        held["indptr"][row : row + n_rows + 1] = piece.indptr.astype(empty.indptr.dtype) + stored
        row, stored = row + n_rows, stored + n_stored


def _array(group: Any, name: str, empty: np.ndarray, n_obs: int) -> Any:
    """An array for all cells, that holds nothing yet."""
    width = empty.shape[1:]
    chunks = (max(min(_CHUNK // max(int(np.prod(width)), 1), max(n_obs, 1)), 1), *width)
    how: dict[str, Any] = {"chunks": chunks}
    if is_hdf5(group):
        how["maxshape"] = (None, *width)
    write_elem(group, name, empty, dataset_kwargs=how)
    group[name].resize((n_obs, *width))
    return group[name]


def _fill(array: Any, pieces: Iterator[np.ndarray]) -> None:
    start = 0
    for piece in pieces:
        array[start : start + len(piece)] = piece
        start += len(piece)


def column_order(columns: Iterable[str], slots: Sequence[str], replaced: Sequence[str]) -> list[str]:
    """Names of the columns of obs, new ones last.

    Parameters
    ----------
    columns
        Those that are there.
    slots, replaced
        What is put in, and what is taken out.
    """
    kept = [str(name) for name in columns if f"obs/{name}" not in replaced]
    new = [slot.removeprefix("obs/") for slot in slots if slot.startswith("obs/")]
    return kept + [name for name in new if name not in kept]


def is_hdf5(group: Any) -> bool:
    """Whether a group is of an HDF5 file, not of a zarr store."""
    import h5py

    return isinstance(group, h5py.Group)
