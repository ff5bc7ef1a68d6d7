"""Cells that a Lightning data module of the user's brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from lightning.pytorch import LightningDataModule
from scipy import sparse

from sims_tools._digest import digest
from sims_tools.data._class_sums import Cells
from sims_tools.data._dataset import CellDataset
from sims_tools.data._kind import InputKind
from sims_tools.data._module_batches import ModuleBatches, fields_of
from sims_tools.data._moments import log_cp10k
from sims_tools.data._reservoir import Reservoir
from sims_tools.data._shared_loader import alone
from sims_tools.models._loaded_module import LoadedModule, loaders_of
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


def prepared(datamodule: Any, seed: int) -> Any:
    """The data module, set up as if this process were the only one; what it draws, a split say, it draws by the seed.

    Raises
    ------
    TypeError
        It is none.
    """
    if not isinstance(datamodule, LightningDataModule):
        raise TypeError(f"`datamodule` is a {type(datamodule).__name__}; expected a LightningDataModule.")
    fields_of(datamodule)
    with alone(seed):
        datamodule.prepare_data()
        datamodule.setup("fit")
    return datamodule


def check_module_settings(settings: Mapping[str, Any]) -> None:
    """Raise ValueError where training settings say what a data module decides on."""
    for name in ("batch_size", "sampling"):
        if settings.get(name) is not None:
            raise ValueError(f"`{name}` is up to `datamodule`; leave it out.")


class ModuleCells:
    """See :class:`~sims_tools.models._training_data.TrainingData`.

    One pass over the loader of training cells counts them, takes the moments of genes and draws a few; one over that
    of validation cells draws 50,000 of them at most. The module decides on order and size of minibatches.

    Parameters
    ----------
    datamodule
        The data module, :func:`prepared`.
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
        self._given, self._n_genes, self._n_classes, self._seed = datamodule, len(genes), len(classes), seed
        self._batches = ModuleBatches(datamodule, genes, classes, input_kind)

    @cached_property
    def _trained(self) -> _Seen:
        drawn = [
            Reservoir(EXPLAINED_CELLS, self._rng(_EXPLAINED)),
            Reservoir(NOVELTY_CELLS, self._rng(_NOVEL), balanced=True),
        ]
        seen = self._pass(self._given.train_dataloader, drawn)
        if not seen.counts.sum():
            raise ValueError(
                "`datamodule.train_dataloader()` brings no cell with a label of the model and with counts."
            )
        return seen

    @cached_property
    def _validated(self) -> _Seen:
        return self._pass(lambda: loaders_of(self._given), [Reservoir(JUDGED_CELLS, self._rng(_JUDGED))])

    def _rng(self, what: int) -> int:
        return int(np.random.default_rng([self._seed % 2**63, what]).integers(2**62))

    def _pass(self, load: Callable[[], Any], drawn: list[Reservoir]) -> _Seen:
        counts = np.zeros(self._n_classes, np.int64)
        sums, squares, n_batches, largest = np.zeros(self._n_genes), np.zeros(self._n_genes), 0, 0
        for linear, totals, codes in self._batches.read_whole(load, self._seed):
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
        lengths = self._trained.n_batches, self._validated.n_batches
        return LoadedModule(self._given, self._batches, lengths, n_val, self._digest(), seed)

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
