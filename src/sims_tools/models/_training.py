"""Training of a classifier: split, transform, loss, one run, gene weights."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from typing import Any, cast

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger
from scvi import REGISTRY_KEYS
from scvi.model._utils import use_distributed_sampler

from sims_tools._docs import docs
from sims_tools._validate import check_fraction
from sims_tools.data._dataset import TOTALS, CellDataset
from sims_tools.data._kind import InputKind, resolve_kind
from sims_tools.data._linear import linear_matrix
from sims_tools.data._matrix import is_in_memory
from sims_tools.data._moments import gene_moments
from sims_tools.data._split import stratified_split
from sims_tools.data._splitter import CellSplitter
from sims_tools.models._confidence import Confidence, fit_novelty
from sims_tools.models._inference import infer_rows
from sims_tools.models._knowledge import Knowledge
from sims_tools.models._module import balanced_weights
from sims_tools.models._random import seeded
from sims_tools.models._runner import check_finite, run_training
from sims_tools.models._settings import TrainingSettings, change_settings
from sims_tools.models._threads import training_threads

_EXPLAINED_CELLS = 2000
"""Training cells, at most, whose masks give the weight of each gene in the model."""


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
        accelerator: str = "auto",
        devices: int | str | list[int] = "auto",
        strategy: Any = "auto",
        precision: str | int = "32-true",
        logger: Logger | Sequence[Logger] | None = None,
        callbacks: Callback | Sequence[Callback] = (),
        progress_bar: bool = True,
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
        dataset = self._own_cells()
        seed = self.params_["random_state"]
        train, validation = split if split is not None else stratified_split(dataset.labels, validation_size, seed)
        train, validation = (cells[dataset.labels[cells] >= 0] for cells in map(np.asarray, (train, validation)))
        if len(train) == 0:
            raise ValueError("There is no labelled cell to train on.")
        chosen = chosen.fit_to(len(train))
        self.was_interrupted_ = False
        self._fit_transform(dataset, train, gene_variance)
        self._set_loss(dataset.labels[train], chosen)
        splitter = CellSplitter(
            self.adata_manager,
            train=train,
            validation=validation,
            dataset=dataset,
            batch_size=cast("int", chosen.batch_size),
            distributed=use_distributed_sampler(strategy),
            seed=seed,
        )
        threads = training_threads(self.module.network, splitter.batch_size, len(self.genes_))
        with seeded(seed), threads, closing(splitter):
            run_training(
                self,
                splitter,
                chosen,
                accelerator=accelerator,
                devices=devices,
                strategy=strategy,
                precision=precision,
                logger=logger,
                callbacks=callbacks,
                progress_bar=progress_bar,
            )
        check_finite(self)
        self.training_ = asdict(chosen)
        self.gene_weights_ = self._measure_gene_weights(dataset, train)
        self.confidence_ = self._fit_confidence(dataset, train, validation)

    def _preset_training(self) -> TrainingSettings:
        return self.presets[self.params_["preset"]].training

    def _own_cells(self) -> CellDataset:
        manager = self.adata_manager
        if manager is None:
            raise ValueError("The model holds no cells to train on: it was loaded, or trained by `tl`.")
        labels = manager.get_from_registry(REGISTRY_KEYS.LABELS_KEY).ravel().astype(np.int64)
        labels[labels == len(self.classes_)] = -1
        registered = manager.get_from_registry(TOTALS) if TOTALS in manager.data_registry else None
        totals = None if registered is None else np.asarray(registered, dtype=np.float64).ravel()
        layer = manager.data_registry[REGISTRY_KEYS.X_KEY].attr_key
        matrix = manager.get_from_registry(REGISTRY_KEYS.X_KEY)
        kind = resolve_kind(self.adata, layer, self.registry_["setup_args"].get("input_kind", "auto"))
        if is_in_memory(matrix):
            matrix, totals = linear_matrix(self.adata, layer, kind, totals)
            kind = InputKind("linear")
        return CellDataset(matrix, labels, kind, totals, np.arange(len(labels)))

    def _fit_transform(self, dataset: CellDataset, train: np.ndarray, variance: np.ndarray | None) -> None:
        transform = self.module.transform
        if not transform.scale_genes:
            return
        n_genes = len(self.genes_)
        if variance is None:
            _, variance = gene_moments(dataset.linear_blocks(train), n_genes)
        if variance.shape != (n_genes,):
            raise ValueError(f"`gene_variance` has shape {variance.shape}; expected ({n_genes},): one for each gene.")
        transform.fit(torch.from_numpy(variance))

    def _set_loss(self, codes: np.ndarray, settings: TrainingSettings) -> None:
        counts = torch.from_numpy(np.bincount(codes, minlength=len(self.classes_)))
        self.module.class_weights.copy_(balanced_weights(counts, settings.class_weights))
        self.module.label_smoothing = settings.label_smoothing

    def _fit_confidence(self, dataset: CellDataset, train: np.ndarray, validation: np.ndarray) -> Confidence:
        cells = np.sort(validation)
        if not len(cells):
            return Confidence()
        blocks = dataset.linear_blocks(cells, size=512)
        logits = np.concatenate([infer_rows(self.module, *block, explain=False).logits for block in blocks])
        return Confidence.fit(logits, dataset.labels[cells], fit_novelty(dataset, train, cells))

    def _measure_gene_weights(self, dataset: CellDataset, train: np.ndarray) -> list[float] | None:
        rng = np.random.default_rng(0)
        cells = train if len(train) <= _EXPLAINED_CELLS else np.sort(rng.choice(train, _EXPLAINED_CELLS, replace=False))
        total = np.zeros(len(self.genes_))
        for block in dataset.linear_blocks(cells, size=512):
            masks = infer_rows(self.module, *block, explain=True).masks
            if masks is None:
                return None
            total += np.bincount(masks.indices, weights=masks.data, minlength=len(total))
        return (total / total.sum()).tolist() if total.any() else None
