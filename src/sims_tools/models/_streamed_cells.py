"""Cells that a classifier is trained on without ever being in memory together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from sims_tools.confidence._sampling import balanced_choice
from sims_tools.data._dataset import CellDataset
from sims_tools.data._joined import JoinedReference
from sims_tools.data._kind import InputKind
from sims_tools.data._panels import Panels
from sims_tools.data._split import stratified_sample
from sims_tools.data._stream import BlockStream
from sims_tools.data._stream_module import StreamModule
from sims_tools.models._training_data import JUDGED_CELLS, NOVELTY_CELLS, KnownCells, explained_cells, training_moments


@dataclass(frozen=True)
class StreamedCells:
    """A reference that is read while it trains; see :class:`~sims_tools.models._training_data.TrainingData`.

    Attributes
    ----------
    reference
        With the genes to train on.
    train, validation
        Rows of it with a label, rising. Of validation cells a sample of 50,000, stratified by class, is read.
    panels
        What each of several references measured, where they did not measure the same genes.
    seed
        Of the sample.
    """

    reference: JoinedReference
    train: np.ndarray
    validation: np.ndarray
    panels: Panels | None = None
    seed: int = 0

    @cached_property
    def class_counts(self) -> np.ndarray:
        """(n_classes,) training cells of each class."""
        return np.bincount(self.reference.labels.codes[self.train], minlength=len(self.reference.labels.classes))

    def moments(self, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (n_genes,) of log1p CP10K over the training cells that a gene was measured in."""
        return training_moments(self.reference.linear_blocks(self.train), self.train, self.panels, n_genes)

    def module(self, *, batch_size: int, seed: int, sampling: str) -> StreamModule:
        """Minibatches."""
        stream = BlockStream(
            self.reference, self.train, batch_size=batch_size, seed=seed, sampling=sampling, panels=self.panels
        )
        known = self.known()
        return StreamModule(stream, known.dataset.subset(known.validation), self.validation)

    def known(self) -> KnownCells:
        """Cells for what is learned after training, the same as are taken from cells in memory."""
        return self._known

    @cached_property
    def _known(self) -> KnownCells:
        codes = self.reference.labels.codes
        explained = explained_cells(self.train)
        novel = self.train[balanced_choice(codes[self.train], NOVELTY_CELLS, 0)]
        judged = self.validation[stratified_sample(codes[self.validation], JUDGED_CELLS, self.seed)]
        rows = np.unique(np.concatenate([explained, novel, judged]))
        blocks = list(self.reference.linear_blocks(rows))
        matrix = sparse.vstack([linear for linear, _ in blocks], format="csr")
        totals = np.concatenate([total for _, total in blocks])
        dataset = CellDataset(matrix, codes[rows], InputKind("linear"), totals, np.arange(len(rows)))
        return KnownCells(dataset, *(np.searchsorted(rows, each) for each in (explained, novel, judged)))
