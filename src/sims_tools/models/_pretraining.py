"""Training without labels: split, transform, one run."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from sims_tools._docs import docs
from sims_tools._validate import check_choice, check_fraction
from sims_tools.data._split import random_split
from sims_tools.models._knowledge import Knowledge
from sims_tools.models._masked_module import MaskedPlan
from sims_tools.models._own_cells import own_cells
from sims_tools.models._runner import train_on
from sims_tools.models._settings import TrainingSettings, change_settings
from sims_tools.models._streamed_cells import StreamedCells
from sims_tools.models._threads import training_threads
from sims_tools.models._training_data import CellsInMemory

PRETRAINING = TrainingSettings(
    max_epochs=100,
    optimizer="AdamW",
    learning_rate=0.005,
    weight_decay=0.05,
    schedule="plateau",
    lr_factor=0.5,
    lr_patience=5,
    gradient_clip=1.0,
    monitor="validation_loss",
    patience=10,
    restore_best=True,
)
"""Recipe of pretraining, whatever the preset."""

Split = tuple[np.ndarray, np.ndarray]


class PretrainingMixin(Knowledge):
    """Training for :class:`~sims_tools.models.PretrainedSIMS`."""

    @docs.dedent
    def train(
        self,
        max_epochs: int | None = None,
        *,
        validation_size: float = 0.1,
        split: Split | None = None,
        cells: CellsInMemory | StreamedCells | None = None,
        accelerator: str = "auto",
        devices: int | str | list[int] = "auto",
        num_nodes: int = 1,
        strategy: Any = "auto",
        precision: str | int = "32-true",
        logger: Logger | Sequence[Logger] | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        progress_bar: bool = True,
        checkpoint: str | Path | None = None,
        checkpoint_every: int = 1,
        **settings: Any,
    ) -> None:
        """Train on the registered cells; a second call goes on from the current weights.

        Parameters
        ----------
        validation_size
            Share of the cells, drawn at random, that judge epochs and do not train.
        split
            Indices of training and validation cells, instead of `validation_size`.
        cells
            What to train on instead of the registered cells; the two before say nothing then.
        %(training)s
        **settings
            Overrule the recipe's :class:`~sims_tools.models.TrainingSettings`.

        Raises
        ------
        TypeError
            A name is not a training setting.
        ValueError
            A value is out of range, or there are fewer than two training cells.
        FloatingPointError
            Training diverged.
        KeyboardInterrupt
            Interrupted before the first epoch was done; later, the model so far is kept.
        """
        check_fraction("validation_size", validation_size)
        chosen = change_settings(PRETRAINING, max_epochs=max_epochs, **settings)
        check_choice("sampling", chosen.sampling, ("uniform",))
        cells = self._cells_at_hand(split, validation_size) if cells is None else cells
        if len(cells.train) < 2:
            raise ValueError(f"There are {len(cells.train)} cells to train on; batch norm needs two or more.")
        chosen = chosen.fit_to(len(cells.train))
        self.was_interrupted_ = False
        mean, variance = cells.moments(len(self.genes_))
        self.module.fit(torch.from_numpy(mean), torch.from_numpy(variance))
        train_on(
            self,
            partial(cells.module, sampling=chosen.sampling),
            chosen,
            threads=partial(training_threads, self.module.network),
            plan=MaskedPlan,
            accelerator=accelerator,
            devices=devices,
            num_nodes=num_nodes,
            strategy=strategy,
            precision=precision,
            logger=logger,
            callbacks=callbacks,
            progress_bar=progress_bar,
            checkpoint=checkpoint,
            checkpoint_every=checkpoint_every,
        )

    def _cells_at_hand(self, split: Split | None, validation_size: float) -> CellsInMemory:
        """The registered cells, divided as asked."""
        dataset, seed = own_cells(self), self.params_["random_state"]
        if split is None:
            split = random_split(len(dataset), 1 - validation_size, validation_size, seed)[:2]
        train, validation = map(np.asarray, split)
        return CellsInMemory(self.adata_manager, dataset, train, validation, n_classes=1)
