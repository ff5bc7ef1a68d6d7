"""Training of a classifier: split, transform, loss, one run, gene weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from scipy import sparse

from sims_tools._docs import docs
from sims_tools._validate import check_fraction
from sims_tools.confidence import ExpressionNovelty
from sims_tools.data._dataset import CellDataset
from sims_tools.data._features import SEEN_OF, only
from sims_tools.data._moments import log_cp10k
from sims_tools.data._panels import Panels
from sims_tools.data._split import stratified_split
from sims_tools.models._confidence import Confidence, fit_novelty
from sims_tools.models._inference import infer_rows
from sims_tools.models._knowledge import Knowledge
from sims_tools.models._module import balanced_weights
from sims_tools.models._module_cells import ModuleCells, check_module_settings, prepared
from sims_tools.models._own_cells import own_cells
from sims_tools.models._runner import train_on
from sims_tools.models._settings import TrainingSettings, change_settings
from sims_tools.models._threads import training_threads
from sims_tools.models._training_data import CellsInMemory, KnownCells, TrainingData


class TrainingMixin(Knowledge):
    """Training for :class:`ClassifierModel`."""

    @docs.dedent
    def train(
        self,
        max_epochs: int | None = None,
        *,
        validation_size: float = 0.1,
        split: tuple[np.ndarray, np.ndarray] | None = None,
        gene_variance: np.ndarray | None = None,
        panels: Panels | None = None,
        cells: TrainingData | None = None,
        datamodule: LightningDataModule | None = None,
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
            Share of each class held out to judge epochs by.
        split
            Indices of training and validation cells, instead of `validation_size`; those without a label are left out.
        gene_variance
            (n_genes,) variance of log1p CP10K over the training cells where it is known, which saves a pass over them.
        panels
            What each of several references measured, where they did not measure the same genes.
        cells
            What to train on instead of the registered cells; the four before say nothing then.
        datamodule
            What brings minibatches instead, dictionaries with "X" (n, n_vars; dense or sparse, of torch, scipy or
            numpy) and "labels", and has a `registry` that names genes and labels, as scvi-tools' data modules do. Order
            and size of minibatches, the split and what processes share are up to it. Before training there is one pass
            over each of its loaders.
        %(training)s
        **settings
            Overrule the preset's :class:`~sims_tools.models.TrainingSettings`.

        Raises
        ------
        TypeError
            A name is not a training setting.
        ValueError
            A value is out of range, or there is nothing to train on.
        FloatingPointError
            Training diverged.
        KeyboardInterrupt
            Interrupted before the first epoch was done; later, the model so far is kept.
        """
        check_fraction("validation_size", validation_size)
        chosen = change_settings(self._preset_training(), max_epochs=max_epochs, **settings)
        if datamodule is not None:
            check_module_settings(settings)
            input_kind, seed = self.registry_["setup_args"].get("input_kind", "auto"), self.params_["random_state"]
            cells = ModuleCells(prepared(datamodule, seed), self.genes_, self.classes_, input_kind, seed)
        if isinstance(cells, ModuleCells):
            chosen = replace(chosen, batch_size=cells.batch_size)
        cells = self._cells_at_hand(split, validation_size, panels) if cells is None else cells
        chosen = chosen.fit_to(int(cells.class_counts.sum()))
        self.was_interrupted_ = False
        self._fit_transform(cells, gene_variance)
        self._set_loss(cells.class_counts, chosen)
        train_on(
            self,
            partial(cells.module, sampling=chosen.sampling),
            chosen,
            threads=partial(training_threads, self.module.network),
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
        known = cells.known()
        self.gene_weights_ = self._measure_gene_weights(known)
        self.confidence_ = self._fit_confidence(known)

    def _preset_training(self) -> TrainingSettings:
        return self.presets[self.params_["preset"]].training

    def _cells_at_hand(
        self, split: tuple[np.ndarray, np.ndarray] | None, validation_size: float, panels: Panels | None
    ) -> CellsInMemory:
        """The registered cells; those without a label are left out."""
        dataset = own_cells(self)
        if split is None:
            split = stratified_split(dataset.labels, validation_size, self.params_["random_state"])
        train, validation = (cells[dataset.labels[cells] >= 0] for cells in map(np.asarray, split))
        if len(train) == 0:
            raise ValueError("There is no labelled cell to train on.")
        return CellsInMemory(self.adata_manager, dataset, train, validation, len(self.classes_), panels)

    def _fit_transform(self, cells: TrainingData, variance: np.ndarray | None) -> None:
        transform = self.module.transform
        if not transform.scale_genes:
            return
        n_genes, mean = len(self.genes_), None
        if variance is None or transform.center_genes:
            mean, variance = cells.moments(n_genes)
        if variance.shape != (n_genes,):
            raise ValueError(f"`gene_variance` has shape {variance.shape}; expected ({n_genes},): one for each gene.")
        if transform.center_genes:  # a sample's, as scanpy's `pp.scale` takes it
            n_cells = int(cells.class_counts.sum())
            transform.fit(torch.from_numpy(variance * n_cells / max(n_cells - 1, 1)), torch.from_numpy(mean))
        else:
            transform.fit(torch.from_numpy(variance))

    def _set_loss(self, counts: np.ndarray, settings: TrainingSettings) -> None:
        if settings.sampling == "balanced":
            counts = (counts > 0).astype(np.int64)
        self.module.class_weights.copy_(balanced_weights(torch.from_numpy(counts), settings.class_weights))
        self.module.label_smoothing = settings.label_smoothing

    def _fit_confidence(self, known: KnownCells) -> Confidence:
        dataset, cells = known.dataset, known.validation
        if not len(cells):
            return Confidence()
        novelty, codes = fit_novelty(dataset, known.train, cells), dataset.labels[cells]
        whole = Confidence.fit(self._logits(dataset.linear_blocks(cells, size=512)), codes, novelty)
        if not self.proteins_:
            return whole
        alone = {role: self._confidence_alone(role, dataset, cells, novelty) for role in SEEN_OF}
        return replace(whole, alone={role: each for role, each in alone.items() if each is not None})

    def _confidence_alone(
        self, role: str, dataset: CellDataset, cells: np.ndarray, novelty: ExpressionNovelty
    ) -> Confidence | None:
        """Confidence of calls from one modality; None where no cell has it."""
        blocks = [
            only(block, SEEN_OF[role], len(self.proteins_)) for block, _ in dataset.linear_blocks(cells, size=512)
        ]
        there = np.concatenate([totals for _, totals in blocks]) > 0
        if not there.any():
            return None
        known = [log_cp10k(*block)[block[1] > 0] for block in blocks]
        reads_it = novelty.without(self.modality != role).calibrated(known)
        codes = dataset.labels[cells][there]
        return Confidence.fit(self._logits(blocks)[there], codes, novelty.with_units_of(reads_it))

    def _logits(self, blocks: Iterable[tuple[sparse.csr_matrix, np.ndarray]]) -> np.ndarray:
        return np.concatenate([infer_rows(self.module, *block, explain=False).logits for block in blocks])

    def _measure_gene_weights(self, known: KnownCells) -> list[float] | None:
        total = np.zeros(len(self.genes_))
        for block in known.dataset.linear_blocks(known.explained, size=512):
            masks = infer_rows(self.module, *block, explain=True).masks
            if masks is None:
                return None
            total += np.bincount(masks.indices, weights=masks.data, minlength=len(total))
        return (total / total.sum()).tolist() if total.any() else None
