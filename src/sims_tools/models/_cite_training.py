"""Training of the CITE-seq autoencoder: split, scaling, one run, errors of the parts."""

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
from sims_tools.data._features import PROTEIN, RNA
from sims_tools.data._paired_cells import PairedCells, column_moments
from sims_tools.data._split import random_split
from sims_tools.data._splitter import CellSplitter
from sims_tools.models._cite_inference import CITEPrediction
from sims_tools.models._cite_plan import ReconstructionPlan
from sims_tools.models._module import balanced_weights
from sims_tools.models._runner import train_on
from sims_tools.models._settings import TrainingSettings, change_settings
from sims_tools.models._threads import enough_threads

PUBLISHED = TrainingSettings(
    max_epochs=50,
    batch_size=256,
    optimizer="Adam",
    learning_rate=0.1,
    weight_decay=0.0,
    schedule="plateau",
    lr_factor=0.1,
    lr_patience=10,
    gradient_clip=0.0,
    monitor="validation_loss",
    patience=0,
    restore_best=True,
)
"""The recipe of the tutorial; the number of epochs is ours."""

Split = tuple[np.ndarray, np.ndarray, np.ndarray]


class CITETraining(CITEPrediction):
    """Training for :class:`~sims_tools.models.CITEAutoencoder`."""

    @docs.dedent
    def train(
        self,
        max_epochs: int | None = None,
        *,
        train_size: float = 0.7,
        validation_size: float = 0.15,
        split: Split | None = None,
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

        Adam starts with a learning rate of 0.1, which falls to a tenth after 10 epochs without a lower validation loss,
        on minibatches of 256 cells; the weights of the best of 50 epochs are kept. Afterwards `train_indices`,
        `validation_indices` and `test_indices` say which cells were which, and `reconstruction_error` how well each
        part is reconstructed.

        Parameters
        ----------
        train_size, validation_size
            Shares of the cells, drawn at random, that train and that judge epochs; the others are test cells.
        split
            Indices of training, validation and test cells, instead of the shares.
        %(training)s
        **settings
            Overrule the recipe's :class:`~sims_tools.models.TrainingSettings`.

        Raises
        ------
        TypeError
            A name is not a training setting.
        ValueError
            A value is out of range, there are fewer than two training cells, or values are NaN, infinite or negative.
        FloatingPointError
            Training diverged.
        KeyboardInterrupt
            Interrupted before the first epoch was done; later, the model so far is kept.
        """
        check_fraction("train_size", train_size, closed=True)
        check_fraction("validation_size", validation_size)
        chosen = change_settings(PUBLISHED, max_epochs=max_epochs, **settings)
        check_choice("sampling", chosen.sampling, ("uniform",))
        cells, seed = self._own_cells(), self.params_["random_state"]
        if split is None:
            split = random_split(len(cells), train_size, validation_size, seed)
        train, validation, test = map(np.asarray, split)
        if len(train) < 2:
            raise ValueError(f"There are {len(train)} training cells among {len(cells)}; batch norm needs two or more.")
        chosen = chosen.fit_to(len(train))
        self.was_interrupted_ = False
        self._fit_scaling(cells.subset(train))
        self._set_classes(cells.labels[train], chosen)
        parts: dict[str, Any] = {"train": train, "validation": validation, "test": test}
        train_on(
            self,
            partial(CellSplitter, self.adata_manager, dataset=cells, drop_last=True, **parts),
            chosen,
            threads=enough_threads,
            plan=ReconstructionPlan,
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
        self.reconstruction_error_ = {
            name: self.error_of(cells.subset(part)) for name, part in parts.items() if len(part)
        }

    @property
    def reconstruction_error(self) -> dict[str, dict[str, float]]:
        """Errors of "train", "validation" and "test" cells, as :meth:`get_reconstruction_error` gives them."""
        return {part: dict(errors) for part, errors in self.reconstruction_error_.items()}

    def _own_cells(self) -> PairedCells:
        if self.adata is None:
            raise ValueError("The model holds no cells to train on: it was loaded.")
        cells = self.read_cells(None)
        cells.labels = self._own_labels()
        return cells

    def _fit_scaling(self, cells: PairedCells) -> None:
        scalers = {RNA: self.module.scale_rna, PROTEIN: self.module.scale_protein}
        if not any(each.standardize for each in scalers.values()):
            return
        moments = column_moments(cells)
        for which, scaler in scalers.items():
            if scaler.standardize:
                scaler.fit(*moments[which])

    def _set_classes(self, codes: np.ndarray, settings: TrainingSettings) -> None:
        self.module.label_smoothing = settings.label_smoothing
        if not self.classes_:
            return
        counts = np.bincount(codes[codes >= 0], minlength=len(self.classes_))
        if not counts.any():
            raise ValueError("No training cell carries a label; the classifier has nothing to learn from.")
        self.module.class_weights.copy_(balanced_weights(torch.from_numpy(counts), settings.class_weights))
