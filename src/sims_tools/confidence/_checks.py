"""Checks of the arrays that confidence is worked out from."""

from __future__ import annotations

import numpy as np

_SUM_TOLERANCE = 1e-2
"""How far a row of probabilities may be from 1: half precision over many classes."""


def check_rows(name: str, values: np.ndarray, n_columns: int | None = None) -> np.ndarray:
    """The array itself, unless it cannot be (n, n_columns) numbers.

    Raises
    ------
    ValueError
        It is not two-dimensional, has another number of columns, holds text or NaN.
    """
    rows = np.asarray(values)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"`{name}` has shape {rows.shape}; expected (n_cells, n_columns), one row for each cell.")
    if n_columns is not None and rows.shape[1] != n_columns:
        raise ValueError(
            f"`{name}` has {rows.shape[1]} columns, but it was fitted with {n_columns}; pass what the same model says "
            "of the cells, with all its columns."
        )
    if not np.issubdtype(rows.dtype, np.number) or np.issubdtype(rows.dtype, np.complexfloating):
        raise ValueError(f"`{name}` is of type {rows.dtype}; expected numbers.")
    if not np.issubdtype(rows.dtype, np.floating):
        return rows.astype(np.float64)
    bad = np.flatnonzero(np.isnan(rows).any(1))
    if bad.size:
        raise ValueError(f"`{name}` is NaN in {bad.size} of {len(rows)} cells (first: cell {bad[0]}); leave them out.")
    return rows


def check_finite(name: str, values: np.ndarray, n_columns: int | None = None) -> np.ndarray:
    """As :func:`check_rows`, and infinite values are refused too."""
    rows = check_rows(name, values, n_columns)
    bad = np.flatnonzero(np.isinf(rows).any(1))
    if bad.size:
        raise ValueError(
            f"`{name}` is infinite in {bad.size} of {len(rows)} cells (first: cell {bad[0]}); leave them out, or "
            "compute it in float32."
        )
    return rows


def check_prob(prob: np.ndarray, n_classes: int | None = None) -> np.ndarray:
    """Probabilities (n, n_classes) as float32, so that a value read back from storage compares the same.

    Raises
    ------
    ValueError
        As :func:`check_rows`, or rows are not probabilities.
    """
    rows = check_rows("prob", prob, n_classes)
    off = np.flatnonzero((rows < 0).any(1) | (np.abs(rows.sum(1, dtype=np.float64) - 1) > _SUM_TOLERANCE))
    if off.size:
        raise ValueError(
            f"`prob` has {off.size} of {len(rows)} rows that are no probabilities (cell {off[0]}: smallest "
            f"{rows[off[0]].min():g}, sum {rows[off[0]].sum():g}); expected at least 0 and a sum of 1. Pass "
            "`softmax(logits)`."
        )
    return rows.astype(np.float32, copy=False)


def check_codes(codes: np.ndarray, n_cells: int, n_classes: int | None = None) -> np.ndarray:
    """True classes as int64.

    Raises
    ------
    ValueError
        There are none, not one for each cell, not whole numbers, or not among the classes.
    """
    found = np.asarray(codes)
    if found.shape != (n_cells,):
        raise ValueError(f"`codes` has shape {found.shape}; expected ({n_cells},), one class for each cell.")
    if not n_cells:
        raise ValueError("There are no cells; pass at least one held-out cell with a label.")
    if not np.issubdtype(found.dtype, np.integer):
        raise ValueError(
            f"`codes` is of type {found.dtype}; expected whole numbers, the position of each cell's class."
        )
    limit = np.iinfo(np.int64).max if n_classes is None else n_classes
    bad = np.flatnonzero((found < 0) | (found >= limit))
    if bad.size:
        wanted = "at least 0" if n_classes is None else f"0 to {n_classes - 1}"
        raise ValueError(
            f"`codes` has {bad.size} of {n_cells} values out of range (cell {bad[0]}: {found[bad[0]]}); expected "
            f"{wanted}. Leave out cells that carry no label, or one the model does not know."
        )
    return found.astype(np.int64)
