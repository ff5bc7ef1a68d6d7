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
from ._matrix import row_sums, with_data

Scale = Literal["counts", "linear", "log1p", "scaled", "invalid"]

TARGET_SUM = 1e4
"""Total of a cell after normalising: counts per 10,000 (CP10K)."""

_LARGEST_LOG = 30.0
"""No log1p of expression is larger; log1p of a billion is 21."""

_CONSTANT = 0.01
"""Largest coefficient of variation of totals that are meant to be equal."""

_REMEDY = "Raw counts are expected. If they are in a layer, name it with `layer=`; if they are in `adata.raw`, pass `adata.raw.to_adata()`."


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
    """

    scale: Scale
    total: float | None = None

    def to_linear(self, block: sparse.csr_matrix) -> tuple[sparse.csr_matrix, np.ndarray]:
        """Bring rows to a linear scale.

        Parameters
        ----------
        block
            (n, p) stored values, all p genes of the object.

        Returns
        -------
        The (n, p) linear values, and the totals (n,) that they are shares of. For log1p values whose
        totals vary (a subset of the genes was kept after normalising) the total is taken to be 10,000.

        Raises
        ------
        ValueError
            Values are negative, NaN or infinite.
        """
        check_values(block)
        if self.scale != "log1p":
            return block, row_sums(block)
        linear = with_data(block, np.expm1(block.data))
        totals = row_sums(linear)
        return linear, totals if self.total is not None else np.where(totals > 0, TARGET_SUM, 0.0)


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


def classify(sample: sparse.csr_matrix) -> InputKind:
    """Tell the kind of values from some rows."""
    data = sample.data
    if data.size and not np.isfinite(data).all():
        return InputKind("invalid")
    if data.size and data.min() < 0:
        return InputKind("scaled")
    if np.array_equal(data, np.rint(data)):
        return InputKind("counts")
    largest = float(data.max())
    if largest > _LARGEST_LOG or _common_total(row_sums(sample)) is not None:
        return InputKind("linear")
    linear = with_data(sample, np.expm1(data))
    return InputKind("log1p", _common_total(row_sums(linear)))


def _common_total(totals: np.ndarray) -> float | None:
    totals = totals[totals > 0]
    if totals.size < 2 or totals.std() > _CONSTANT * totals.mean():
        return None
    return float(totals.mean())


def resolve_kind(adata: AnnData, layer: str | None, input_kind: str = "auto") -> InputKind:
    """Detect the kind of the matrix, or take the user's word for it, and say what was assumed.

    Raises
    ------
    ValueError
        The values are scaled, negative, NaN or infinite, or `input_kind` is unknown.
    """
    check_choice("input_kind", input_kind, ("auto", "counts", "log1p"))
    sample = sample_rows(adata, layer)
    check_values(sample)
    kind = classify(sample)
    if input_kind == "counts" and kind.scale == "log1p":
        kind = InputKind("linear")
    elif input_kind == "log1p" and kind.scale != "log1p":
        kind = InputKind("log1p", _common_total(row_sums(with_data(sample, np.expm1(sample.data)))))
    if kind.scale == "log1p" and kind.total is None:
        logger.info("Values look like log1p of normalised expression with varying totals: taken as log1p CP10K.")
    elif kind.scale == "log1p":
        logger.info("Values look like log1p of expression normalised to %.4g per cell: brought to CP10K.", kind.total)
    elif kind.scale == "linear":
        logger.info("Values are not whole numbers: taken as proportional to counts within each cell.")
    return kind
