"""What the values of a matrix are, and the way back to a linear scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._log import logger
from sims_tools._validate import check_choice

from ._blocks import sample_rows
from ._cells_in_file import FileCells
from ._matrix import row_sums, with_data

Scale = Literal["counts", "linear", "log1p", "scaled", "invalid"]

TARGET_SUM = 1e4
"""Total of a cell after normalising: counts per 10,000 (CP10K)."""

_LARGEST_LOG = 30.0
"""No log1p of expression is larger; log1p of a billion is 21."""

_CONSTANT = 0.01
"""Largest coefficient of variation of totals that are meant to be equal."""

_ROUNDING = 1e-3
"""How far from a whole number a count may be (recovered from logs, say)."""

_MILLION, _SURELY_NOT_CP10K = 1e6, 2e4
"""Where genes were dropped after normalising: the other usual total, and the remainder from which on it is that one."""

_REMEDY = (
    "Raw counts are expected. If they are in a layer, name it with `layer=`; "
    "if they are in `adata.raw`, pass `adata.raw.to_adata()`."
)


@dataclass(frozen=True)
class InputKind:
    """How stored values relate to expression on a linear scale.

    Attributes
    ----------
    scale
        "counts" (whole numbers), "linear" (other values proportional to counts within a cell),
        "log1p" (natural log of 1 + normalised expression), "scaled" (some are negative) or
        "invalid" (NaN or infinite).
    total
        The common total of every cell on the linear scale, where there is one.
    assumed_total
        Of log1p values whose totals vary (a subset of the genes was kept after normalising): the total that each
        cell is taken to have had, 10,000 or, where less would not hold the genes that are left, a million.
    """

    scale: Scale
    total: float | None = None
    assumed_total: float = TARGET_SUM

    def to_linear(
        self, block: sparse.csr_matrix, totals: np.ndarray | None = None
    ) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Bring rows to a linear scale.

        Parameters
        ----------
        block
            (n, p) stored values, all p genes of the object.
        totals
            (n,) totals on the linear scale where they are known; None sums the rows.

        Returns
        -------
        The (n, p) linear values, and the totals (n,) that they are shares of.

        Raises
        ------
        ValueError
            Values are negative, NaN or infinite, or too large for the logarithms they are taken for.
        """
        check_values(block)
        if self.scale == "log1p":
            check_logs(block)
            block = with_data(block, np.expm1(block.data))
        return block, self._totals(block) if totals is None else totals

    def _totals(self, linear: sparse.csr_matrix) -> np.ndarray:
        totals = row_sums(linear)
        if self.scale != "log1p" or self.total is not None:
            return totals
        return np.where(totals > 0, self.assumed_total, 0.0)


def check_values(block: sparse.csr_matrix) -> None:
    """Raise ValueError where values cannot be expression."""
    data = block.data
    if data.size == 0:
        return
    low = float(data.min())
    if not np.isfinite(low) or not np.isfinite(float(data.max())):
        n_bad = int((~np.isfinite(data)).sum())
        raise ValueError(f"The matrix holds NaN or infinite values ({n_bad} in one block of cells). {_REMEDY}")
    if low < 0:
        raise ValueError(
            f"The matrix holds negative values (down to {low:.3g}): it looks scaled or corrected. {_REMEDY}"
        )


def check_logs(block: sparse.csr_matrix) -> None:
    """Raise ValueError where values cannot be logarithms of expression."""
    largest = float(block.data.max(initial=0.0))
    if largest > _LARGEST_LOG:
        raise ValueError(
            f"The matrix holds values up to {largest:.4g}, too large for log1p of expression. If they are counts or "
            'otherwise not logarithms, pass `input_kind="counts"`.'
        )


def classify(sample: sparse.csr_matrix) -> InputKind:
    """Tell the kind of values from some rows."""
    data = sample.data
    if not np.isfinite(data).all():
        return InputKind("invalid")
    if data.min(initial=0.0) < 0:
        return InputKind("scaled")
    if _are_whole(data):
        return InputKind("counts")
    if data.max() > _LARGEST_LOG:
        return InputKind("linear")
    unlogged = with_data(sample, np.expm1(data))
    return _logged(unlogged) if _looks_logged(sample, unlogged) else InputKind("linear")


def _logged(unlogged: sparse.csr_matrix) -> InputKind:
    """The kind of log1p values, from what they are on the linear scale."""
    totals = row_sums(unlogged)
    totals = totals[totals > 0]
    if _variation(totals) <= _CONSTANT:
        return InputKind("log1p", total=float(totals.mean()))
    beyond = totals.size > 0 and float(np.median(totals)) > _SURELY_NOT_CP10K
    return InputKind("log1p", assumed_total=_MILLION if beyond else TARGET_SUM)


def _are_whole(data: np.ndarray) -> bool:
    whole = np.rint(data)
    return bool((np.isclose(data, whole, rtol=1e-6, atol=_ROUNDING) & ((whole > 0) | (data == 0))).all())


def _looks_logged(sample: sparse.csr_matrix, unlogged: sparse.csr_matrix) -> bool:
    """Whether cells have equal totals as logarithms or as they are; failing that, whole ratios betray counts."""
    as_is, without_log = _variation(row_sums(sample)), _variation(row_sums(unlogged))
    if (as_is <= _CONSTANT) != (without_log <= _CONSTANT):
        return without_log < as_is
    whole = _share_of_multiples(sample)
    return whole < 0.9 or whole <= _share_of_multiples(unlogged)


def _variation(totals: np.ndarray) -> float:
    """Coefficient of variation of the totals of the cells that are not empty; infinite for fewer than two."""
    totals = totals[totals > 0]
    return float(totals.std() / totals.mean()) if totals.size > 1 else np.inf


def _share_of_multiples(values: sparse.csr_matrix) -> float:
    """Of the values above the least of their cell: the share that are whole multiples of it, as scaled counts are."""
    filled = np.flatnonzero(np.diff(values.indptr))
    smallest = np.minimum.reduceat(values.data, values.indptr[:-1][filled])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = values.data / np.repeat(smallest, np.diff(values.indptr)[filled])
    ratios = ratios[np.isfinite(ratios) & (ratios > 1.5)]
    return float((np.abs(ratios - np.rint(ratios)) < 0.05).mean()) if ratios.size else 0.0


def resolve_kind(adata: AnnData | FileCells, layer: str | None, input_kind: str | InputKind = "auto") -> InputKind:
    """Detect the kind of the matrix, or take the user's word for it, and say what was assumed.

    A kind that is known already, that of the store which the cells are a part of, is taken as it is.

    Raises
    ------
    ValueError
        The values are scaled, negative, NaN or infinite, or `input_kind` is unknown.
    """
    if isinstance(input_kind, InputKind):
        return input_kind
    check_choice("input_kind", input_kind, ("auto", "counts", "log1p"))
    return kind_of(sample_rows(adata, layer), input_kind)


def kind_of(sample: sparse.csr_matrix, input_kind: str = "auto") -> InputKind:
    """:func:`resolve_kind` of some rows that are read already."""
    check_values(sample)
    kind = classify(sample)
    if input_kind == "counts" and kind.scale == "log1p":
        kind = InputKind("linear")
    elif input_kind == "log1p" and kind.scale != "log1p":
        check_logs(sample)
        kind = _logged(with_data(sample, np.expm1(sample.data)))
    if kind.scale == "log1p" and kind.total is None:
        logger.info(
            "Values look like log1p of normalised expression with varying totals: taken as normalised to %.4g.",
            kind.assumed_total,
        )
    elif kind.scale == "log1p":
        logger.info("Values look like log1p of expression normalised to %.4g per cell: brought to CP10K.", kind.total)
    elif kind.scale == "linear":
        logger.info("Values are not whole numbers: taken as proportional to counts within each cell.")
    return kind
