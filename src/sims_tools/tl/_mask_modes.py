"""What is kept of masks: all of them, the heaviest features of each cell, or the mean of each class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from sims_tools._validate import check_choice, check_count
from sims_tools.data._mask_stats import group_sums
from sims_tools.data._matrix import rows_of
from sims_tools.data._modality_share import share_of
from sims_tools.models._inference import Inferred

FULL, TOP, MEAN, NONE = "full", "top", "mean", "none"
MASK_MODES = (FULL, TOP, MEAN, NONE)

Caller = Callable[[Inferred, slice], np.ndarray]
"""Gives the codes (n,) of a block's labels; those of cells without a call are past the last class."""


@dataclass(frozen=True)
class MaskMode:
    """What is to be kept.

    Attributes
    ----------
    kind
        One of `MASK_MODES`.
    n_features
        Of each cell, where the kind is "top".
    """

    kind: str
    n_features: int = 10

    def __bool__(self) -> bool:
        """Whether masks are wanted of the network at all."""
        return self.kind != NONE


def mask_mode(masks: bool | str, n_mask_features: int) -> MaskMode:
    """What the arguments of an annotation ask for.

    Raises
    ------
    ValueError
        There is no such mode, or the number of features is none.
    """
    kind = {True: FULL, False: NONE}.get(masks, masks) if isinstance(masks, bool) else masks
    check_choice("masks", kind, MASK_MODES)
    check_count("n_mask_features", n_mask_features)
    return MaskMode(str(kind), int(n_mask_features))


class ClassSums:
    """Sums of the masks of the cells called each class, part by part.

    Parameters
    ----------
    n_classes, n_features
        Of the model.
    part_size
        Cells whose sum is taken before it is added to that of the others, so that it does not matter whether parts
        are summed here or elsewhere.
    """

    def __init__(self, n_classes: int, n_features: int, part_size: int) -> None:
        self._part_size, self._end = part_size, part_size
        self._total, self._part = np.zeros((n_classes, n_features)), np.zeros((n_classes, n_features))
        self.n_cells = np.zeros(n_classes, dtype=np.int64)

    def add(self, codes: np.ndarray, masks: sparse.csr_matrix, start: int) -> None:
        """Add the masks (n, n_features) of cells from one on, whose labels (n,) are known."""
        if start >= self._end:
            self._total += self._part
            self._part[:] = 0
            self._end = (start // self._part_size + 1) * self._part_size
        n_classes = len(self.n_cells)
        called = np.where(codes < n_classes, codes, -1)
        self._part += group_sums(masks, called, n_classes)
        self.n_cells += np.bincount(called[called >= 0], minlength=n_classes)

    @property
    def sums(self) -> np.ndarray:
        """(n_classes, n_features) float64."""
        return self._total + self._part


def mean_masks(sums: np.ndarray, n_cells: np.ndarray) -> np.ndarray:
    """(n_classes, n_features) float32 means, zero for a class without cells."""
    return (sums / np.maximum(n_cells, 1)[:, None]).astype(np.float32)


class KeptMasks:
    """Takes the masks of blocks of cells, and keeps of them what is asked for.

    Parameters
    ----------
    mode
        What to keep.
    n_obs
        Cells of all blocks.
    of_rna
        (n_features,) bool: features that are genes, where there are others; None where all are.
    n_classes
        Of the model.
    part_size
        As :class:`ClassSums` takes it.
    call
        Labels cells; wanted for means.

    Attributes
    ----------
    rna_share
        (n_obs,) float32 share of genes in the masks; None where all features are.
    sums
        Where means are to be made.
    """

    def __init__(
        self, mode: MaskMode, n_obs: int, of_rna: np.ndarray | None, n_classes: int, part_size: int, call: Caller
    ) -> None:
        self._mode, self._of_rna, self._call = mode, of_rna, call
        self._n_classes, self._part_size = n_classes, part_size
        self.rna_share = None if of_rna is None or not mode else np.full(n_obs, np.nan, np.float32)
        self.sums: ClassSums | None = None

    def __call__(self, block: Inferred, cells: slice) -> sparse.csr_matrix | None:
        """The masks of a block that are to be joined with those of the others; None for none."""
        if block.masks is None:
            return None
        if self.rna_share is not None and self._of_rna is not None:
            self.rna_share[cells] = share_of(block.masks, self._of_rna)
        if self._mode.kind == TOP:
            return heaviest(block.masks, self._mode.n_features)
        if self._mode.kind != MEAN:
            return block.masks
        if self.sums is None:
            self.sums = ClassSums(self._n_classes, block.masks.shape[1], self._part_size)
        self.sums.add(self._call(block, cells), block.masks, cells.start)
        return None


def heaviest(masks: sparse.csr_matrix, n: int) -> sparse.csr_matrix:
    """The largest values of each row, at most n, where they are; of equal ones those of the first features."""
    rows = rows_of(masks)
    order = np.lexsort((masks.indices, -masks.data, rows))
    rank = np.arange(len(order)) - masks.indptr[rows]  # rows come one after the other in `order`, too
    kept = np.zeros(len(order), dtype=bool)
    kept[order[rank < n]] = True
    indptr = np.concatenate([[0], np.cumsum(kept)])[masks.indptr]
    return sparse.csr_matrix((masks.data[kept], masks.indices[kept], indptr), shape=masks.shape)
