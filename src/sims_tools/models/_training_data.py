"""What a classifier is trained on, wherever its cells are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from scipy import sparse

from sims_tools.data._dataset import CellDataset
from sims_tools.data._moments import gene_moments
from sims_tools.data._splitter import CellSplitter

if TYPE_CHECKING:
    from scvi.data import AnnDataManager

    from sims_tools.data._panels import Panels


EXPLAINED_CELLS = 2000
"""Training cells, at most, whose masks give the weight of each gene in the model."""

NOVELTY_CELLS = 10_000
"""Training cells, at most, that novelty is learned from."""


JUDGED_CELLS = 50_000
"""Validation cells, at most, that are kept in memory where not all cells are: confidence is fitted on them."""


def explained_cells(train: np.ndarray) -> np.ndarray:
    """Those of the training cells, sorted, whose masks give the weight of each gene."""
    if len(train) <= EXPLAINED_CELLS:
        return train
    return np.sort(np.random.default_rng(0).choice(train, EXPLAINED_CELLS, replace=False))


class KnownCells(NamedTuple):
    """Cells in memory, from which a trained model learns what to think of itself.

    Attributes
    ----------
    dataset
        The cells.
    explained
        Rows of it, training cells: their masks give the weight of each gene.
    train
        Rows of it, training cells: their expression is what novelty is measured by.
    validation
        Rows of it, in rising order: held-out cells, for temperature, conformal scores and novelty.
    """

    dataset: CellDataset
    explained: np.ndarray
    train: np.ndarray
    validation: np.ndarray


class TrainingData(Protocol):
    """Labelled cells, divided into those that train and those that epochs are judged by."""

    @property
    def class_counts(self) -> np.ndarray:
        """(n_classes,) training cells of each class."""
        ...

    def moments(self, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (n_genes,) of log1p CP10K over the training cells that a gene was measured in."""
        ...

    def module(self, *, batch_size: int, seed: int, sampling: str) -> Any:
        """What Lightning loads minibatches from; has `n_val`, `digests()` and `close()` beside.

        With "balanced" `sampling` every class comes equally often in an epoch, with "uniform" every cell once.
        The order of an epoch depends on its number and the seed alone; `trainer` says which process of how many loads.
        """
        ...

    def known(self) -> KnownCells:
        """Cells for what is learned after training."""
        ...


def training_moments(
    blocks: Iterable[tuple[sparse.csr_matrix, np.ndarray]], train: np.ndarray, panels: Panels | None, n_genes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance (n_genes,) of log1p CP10K over the blocks of the training cells, where a gene was measured."""
    return gene_moments(blocks, n_genes, n_cells=None if panels is None else panels.n_cells(train))


@dataclass(frozen=True)
class CellsInMemory:
    """A data set all rows of which are at hand.

    Attributes
    ----------
    manager
        scvi-tools' manager of the registered object.
    dataset
        Its cells.
    train, validation
        Rows of it, all with a label.
    n_classes
        Number of classes.
    panels
        What each of several references measured, where they did not measure the same genes.
    """

    manager: AnnDataManager
    dataset: CellDataset
    train: np.ndarray
    validation: np.ndarray
    n_classes: int
    panels: Panels | None = None

    @cached_property
    def class_counts(self) -> np.ndarray:
        """See :class:`TrainingData`."""
        return np.bincount(self.dataset.labels[self.train], minlength=self.n_classes)

    def moments(self, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
        """See :class:`TrainingData`."""
        return training_moments(self.dataset.linear_blocks(self.train), self.train, self.panels, n_genes)

    def module(self, *, batch_size: int, seed: int, sampling: str) -> CellSplitter:
        """See :class:`TrainingData`."""
        return CellSplitter(
            self.manager, train=self.train, validation=self.validation, dataset=self.dataset, panels=self.panels,
            batch_size=batch_size, seed=seed, sampling=sampling,
        )  # fmt: skip

    def known(self) -> KnownCells:
        """See :class:`TrainingData`."""
        return KnownCells(self.dataset, explained_cells(self.train), self.train, np.sort(self.validation))
