"""Stored values where a mask selects, and their factors."""

from __future__ import annotations

import numpy as np

from ._jit import Array, compiled


@compiled
def look_up(
    task: int,
    block: int,
    indptr: Array,
    indices: Array,
    values: Array,
    at_indptr: Array,
    at_indices: Array,
    n_columns: int,
    out: Array,
    hits: Array,
) -> None:
    """Values of one sparse matrix at the places of another, zero where none is stored, for one block of rows.

    Parameters
    ----------
    task, block
        Number of the block of rows, rows in a block.
    indptr, indices, values
        The matrix that is read, CSR (B, p).
    at_indptr, at_indices
        The places, CSR pattern (B, p).
    n_columns
        Number p of columns.
    out
        (n_places,), written.
    hits
        (B,), written: how many values are not zero.
    """
    spread = np.zeros(n_columns, values.dtype)
    for r in range(task * block, min((task + 1) * block, len(indptr) - 1)):
        begin, end = indptr[r], indptr[r + 1]
        first, last = at_indptr[r], at_indptr[r + 1]
        if (last - first) * 16 < end - begin:
            for e in range(first, last):
                at = begin + np.searchsorted(indices[begin:end], at_indices[e])
                out[e] = values[at] if at < end and indices[at] == at_indices[e] else 0
        else:
            for at in range(begin, end):
                spread[indices[at]] = values[at]
            for e in range(first, last):
                out[e] = spread[at_indices[e]]
            for at in range(begin, end):
                spread[indices[at]] = 0
        n = 0
        for e in range(first, last):
            n += out[e] != 0
        hits[r] = n


@compiled
def keep_hits(
    task: int,
    block: int,
    at_indptr: Array,
    at_indices: Array,
    found: Array,
    shares: Array,
    indptr: Array,
    indices: Array,
    places: Array,
    inputs: Array,
    products: Array,
) -> None:
    """The values :func:`look_up` found, as sparse rows of their own, for one block of rows.

    Parameters
    ----------
    task, block
        Number of the block of rows, rows in a block.
    at_indptr, at_indices, found
        Places, and the values there.
    shares
        (n_places,) factor on each.
    indptr
        (B + 1,) of the new rows.
    indices, places, inputs, products
        Written: columns of the new rows, which place each came from, its value, and the value times its factor.
    """
    for r in range(task * block, min((task + 1) * block, len(indptr) - 1)):
        kept = indptr[r]
        for e in range(at_indptr[r], at_indptr[r + 1]):
            if found[e] != 0:
                indices[kept], places[kept], inputs[kept] = at_indices[e], e, found[e]
                products[kept] = found[e] * shares[e]
                kept += 1
