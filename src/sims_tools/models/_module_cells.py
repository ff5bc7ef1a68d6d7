"""Cells that a Lightning data module of the user's brings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningDataModule
from scipy import sparse

from sims_tools._digest import digest
from sims_tools.data._dataset import Batch, CellDataset, to_device
from sims_tools.data._kind import InputKind
from sims_tools.data._module_batches import Cells, ModuleBatches, to_minibatch
from sims_tools.data._moments import log_cp10k
from sims_tools.data._reservoir import Reservoir
from sims_tools.models._training_data import EXPLAINED_CELLS, JUDGED_CELLS, NOVELTY_CELLS, KnownCells

_EXPLAINED, _NOVEL, _JUDGED = range(3)  # what cells are drawn for


class _Seen(NamedTuple):
    """What one pass over minibatches found.

    Attributes
    ----------
    counts
        (n_classes,) cells of each class.
    sums, squares
        (n_genes,) of log1p CP10K and its square.
    n_batches, largest
        Minibatches with labelled cells, and cells of the largest.
    drawn
        Some cells for each purpose.
    """

    counts: np.ndarray
    sums: np.ndarray
    squares: np.ndarray
    n_batches: int
    largest: int
    drawn: list[Reservoir]


class ModuleCells:
    """See :class:`~sims_tools.models._training_data.TrainingData`.

    One pass over the loader of training cells counts them, takes the moments of genes and draws a few; one over that
    of validation cells draws 50,000 of them at most. The module decides on order, size of minibatches and processes.

    Parameters
    ----------
    datamodule
        The data module.
    genes, classes
        What the model knows.
    input_kind
        What the values are.
    seed
        Of what is drawn.

    Raises
    ------
    TypeError, ValueError
        The module or its minibatches are not what is expected, or no cell has a label.
    """

    def __init__(self, datamodule: Any, genes: list[str], classes: list[str], input_kind: str, seed: int) -> None:
        if not isinstance(datamodule, LightningDataModule):
            raise TypeError(f"`datamodule` is a {type(datamodule).__name__}; expected a LightningDataModule.")
        self._given, self._n_genes, self._n_classes, self._seed = datamodule, len(genes), len(classes), seed
        self._batches = ModuleBatches(datamodule, genes, classes, input_kind)
        datamodule.prepare_data()
        datamodule.setup("fit")

    @cached_property
    def _trained(self) -> _Seen:
        drawn = [
            Reservoir(EXPLAINED_CELLS, self._rng(_EXPLAINED)),
            Reservoir(NOVELTY_CELLS, self._rng(_NOVEL), balanced=True),
        ]
        seen = self._pass(self._given.train_dataloader(), drawn)
        if not seen.counts.sum():
            raise ValueError(
                "`datamodule.train_dataloader()` brings no cell with a label of the model and with counts."
            )
        return seen

    @cached_property
    def _validated(self) -> _Seen:
        return self._pass(loaders_of(self._given), [Reservoir(JUDGED_CELLS, self._rng(_JUDGED))])

    def _rng(self, what: int) -> int:
        return int(np.random.default_rng([self._seed % 2**63, what]).integers(2**62))

    def _pass(self, loader: Iterable[Any], drawn: list[Reservoir]) -> _Seen:
        counts = np.zeros(self._n_classes, np.int64)
        sums, squares, n_batches, largest = np.zeros(self._n_genes), np.zeros(self._n_genes), 0, 0
        for linear, totals, codes in self._batches.read(loader):
            values = log_cp10k(linear, totals)
            counts += np.bincount(codes, minlength=self._n_classes)
            sums += np.bincount(values.indices, values.data, self._n_genes)
            squares += np.bincount(values.indices, values.data.astype(np.float64) ** 2, self._n_genes)
            n_batches, largest = n_batches + 1, max(largest, len(codes))
            for each in drawn:
                each.add(linear, totals, codes)
        return _Seen(counts, sums, squares, n_batches, largest, drawn)

    @property
    def class_counts(self) -> np.ndarray:
        """(n_classes,) training cells of each class."""
        return self._trained.counts

    @property
    def batch_size(self) -> int:
        """Cells of the largest minibatch."""
        return self._trained.largest

    def moments(self, n_genes: int) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance (n_genes,) of log1p CP10K over the training cells."""
        seen, n = self._trained, self._trained.counts.sum()
        mean = seen.sums / n
        return mean, np.maximum(seen.squares / n - mean**2, 0.0)

    def module(self, *, batch_size: int, seed: int, sampling: str) -> LoadedModule:
        """Minibatches; what is asked of them is up to the data module."""
        n_val = int(self._validated.counts.sum())
        return LoadedModule(
            self._given, self._batches, (self._trained.n_batches, self._validated.n_batches), n_val, self._digest()
        )

    def _digest(self) -> str:
        """Of how many cells there are of each class; their values come in another order each time."""
        return digest(self._trained.counts, self._validated.counts)

    def known(self) -> KnownCells:
        """Cells for what is learned after training."""
        drawn = [*self._trained.drawn, *self._validated.drawn]
        parts: list[Cells] = [each.take() for each in drawn if len(each)]
        linear = sparse.vstack([part[0] for part in parts], format="csr")
        totals, codes = (np.concatenate([part[at] for part in parts]) for at in (1, 2))
        dataset = CellDataset(linear, codes, InputKind("linear"), totals, np.arange(len(totals)))
        ends = np.cumsum([0, *(len(each) for each in drawn)])
        return KnownCells(dataset, *(np.arange(start, stop) for start, stop in zip(ends[:-1], ends[1:], strict=True)))


def loaders_of(module: Any) -> list[Any]:
    """The loader of validation cells of a data module; an empty list where it has none."""
    found = module.val_dataloader() if type(module).val_dataloader is not LightningDataModule.val_dataloader else None
    return [] if found is None else found


class LoadedModule(LightningDataModule):
    """A data module whose minibatches come as ours do.

    Parameters
    ----------
    given
        The user's.
    batches
        Reads its minibatches.
    lengths
        Minibatches of an epoch, of training and of validation cells.
    n_val
        Number of validation cells.
    cells
        Digest of the cells.
    """

    def __init__(self, given: Any, batches: ModuleBatches, lengths: tuple[int, int], n_val: int, cells: str) -> None:
        super().__init__()
        self._given, self._batches, self._lengths, self._cells = given, batches, lengths, cells
        self.n_val = n_val
        self.train_idx, self.val_idx, self.test_idx = (
            getattr(given, f"{name}_idx", None) for name in ("train", "val", "test")
        )

    def digests(self) -> dict[str, str]:
        """What these minibatches are made of, as far as it can be told."""
        return {"cells": self._cells}

    def setup(self, stage: str) -> None:
        """Let the user's module know the trainer; it was set up before."""
        self._given.trainer = self.trainer

    def teardown(self, stage: str) -> None:
        """Let the user's module end."""
        self._given.teardown(stage)

    def train_dataloader(self) -> _Loader:
        """Training cells."""
        return _Loader(self._given.train_dataloader(), self._batches, self._lengths[0])

    def val_dataloader(self) -> _Loader | None:
        """Validation cells; None where there are none."""
        return _Loader(loaders_of(self._given), self._batches, self._lengths[1]) if self.n_val else None

    def transfer_batch_to_device(self, batch: Batch, device: Any, dataloader_idx: int) -> Batch:
        """Move a minibatch."""
        return to_device(batch, device)

    def close(self) -> None:
        """The user's module belongs to the user."""
        self._given.trainer = None


class _Loader:
    """Minibatches of a loader in our form; Lightning tells its samplers the epoch."""

    def __init__(self, loader: Any, batches: ModuleBatches, length: int) -> None:
        self._loader, self._batches, self._length = loader, batches, length
        self.sampler, self.batch_sampler = (getattr(loader, name, None) for name in ("sampler", "batch_sampler"))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        for cells in self._batches.read(self._loader):
            yield to_minibatch(*cells)
