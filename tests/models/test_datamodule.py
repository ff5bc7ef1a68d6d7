"""Training on what a Lightning data module of somebody else brings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch
from lightning.pytorch import LightningDataModule
from scipy import sparse
from torch.utils.data import DataLoader

import sims_tools as sims
from sims_tools.data._reservoir import Reservoir

QUICK: dict[str, Any] = {"max_epochs": 25, "learning_rate": 0.02, "weight_average": 0.9, "progress_bar": False}
NETWORK: dict[str, Any] = {"n_d": 8, "n_a": 8, "n_members": 1, "sparsity": 0.0}

AS: dict[str, Any] = {
    "dense": lambda counts: torch.from_numpy(counts.toarray()),
    "scipy": lambda counts: counts,
    "torch csr": lambda counts: torch.from_numpy(counts.toarray()).to_sparse_csr(),
    "torch coo": lambda counts: torch.from_numpy(counts.toarray()).to_sparse(),
    "numpy": lambda counts: counts.toarray(),
}


class Cells(LightningDataModule):
    """The least that a data module has to be: 1 cell in 7 validates, some cells have no label."""

    def __init__(self, adata: ad.AnnData, storage: str = "dense", *, genes: list[str] | None = None) -> None:
        super().__init__()
        self.adata, self.storage = adata, AS[storage]
        self.labels = ["type_0", "Unknown", "type_1", "type_2"]  # "no label" need not come last
        self.codes = np.array([self.labels.index(name) for name in adata.obs["cell_type"].astype(str)])
        self.genes = list(adata.var_names) if genes is None else genes
        self.n_passes = 0
        validates = np.arange(adata.n_obs) % 7 == 0
        self.train, self.validation = np.flatnonzero(~validates), np.flatnonzero(validates)

    @property
    def registry(self) -> dict[str, Any]:
        state = {"categorical_mapping": self.labels, "original_key": "cell_type", "unlabeled_category": "Unknown"}
        genes = {"column_names": self.genes}
        return {
            "setup_method_name": "setup_datamodule",
            "model_name": "SCVI",
            "setup_args": {"labels_key": "cell_type", "batch_key": "donor"},
            "field_registries": {
                "X": {"state_registry": genes, "summary_stats": {"n_cells": self.adata.n_obs}},
                "labels": {"state_registry": state},
                "batch": {"state_registry": {"categorical_mapping": ["one"]}},
            },
        }

    def _loader(self, rows: np.ndarray, *, shuffle: bool) -> DataLoader:
        return DataLoader(rows, batch_size=32, shuffle=shuffle, collate_fn=np.array)

    def train_dataloader(self) -> DataLoader:
        self.n_passes += 1
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DataLoader:
        return self._loader(self.validation, shuffle=False)

    def on_before_batch_transfer(self, batch: np.ndarray, dataloader_idx: int) -> dict[str, Any]:
        return {"X": self.storage(self.adata.X[batch]), "labels": self.codes[batch][:, None], "batch": None}


@pytest.fixture
def some(cells: ad.AnnData) -> ad.AnnData:
    """200 cells of 3 classes, a tenth of them without a label."""
    names = cells.obs["cell_type"].astype(str).to_numpy(dtype=object)
    names[::10] = "Unknown"
    cells.obs["cell_type"] = names
    return cells


def trained(module: LightningDataModule, **settings: Any) -> Any:
    model = sims.models.SIMS(registry=module.registry, **NETWORK)
    model.train(datamodule=module, **QUICK | settings)
    return model


@pytest.mark.parametrize("storage", AS)
def test_it_learns_what_the_module_brings_saves_loads_and_annotates(some, storage, tmp_path, planted):
    module = Cells(some, storage)
    model = trained(module)
    assert list(model.classes) == ["type_0", "type_1", "type_2"]
    assert list(model.genes) == list(some.var_names)
    assert model.metrics["accuracy_validation"] > 0.9
    labelled = some.obs["cell_type"].to_numpy()[module.validation] != "Unknown"
    assert model.confidence_.temperature.n_cells == labelled.sum()
    assert model.confidence_.novelty is not None
    assert np.isclose(model.gene_weights.sum(), 1)
    assert module.n_passes == 2  # one before training, one loader in it
    model.save(tmp_path / "model")
    query = planted.copy()
    sims.tl.annotate(query, tmp_path / "model", progress_bar=False)
    assert (query.obs["sims"] == query.obs["cell_type"]).mean() > 0.9
    assert sims.models.load(tmp_path / "model").predict(query).tolist() == model.predict(query).tolist()


def test_moments_counts_and_samples_are_those_of_the_cells(some):
    from sims_tools.data._moments import gene_moments
    from sims_tools.models._module_cells import ModuleCells

    module = Cells(some, "scipy")
    found = ModuleCells(module, list(some.var_names), ["type_0", "type_1", "type_2"], "auto", 0)
    train = module.train[module.codes[module.train] != 1]
    counts, totals = some.X[train], np.asarray(some.X[train].sum(1)).ravel()
    for mine, expected in zip(found.moments(60), gene_moments([(counts, totals)], 60), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-5, atol=1e-9)
    assert found.class_counts.tolist() == np.bincount(module.codes[train])[[0, 2, 3]].tolist()
    assert 20 < found.batch_size <= 32
    known = found.known()
    assert len(known.explained) == len(known.train) == len(train)
    assert len(known.validation) == (module.codes[module.validation] != 1).sum()
    assert (np.diff(known.validation) > 0).all()


def test_a_module_without_validation_cells_trains_and_judges_no_epoch(some):
    module = Cells(some)
    module.val_dataloader = lambda: None  # type: ignore[method-assign, assignment]
    model = trained(module, max_epochs=2)
    assert model.is_trained_
    assert "accuracy_validation" not in model.metrics
    assert model.confidence_.conformal is None


def test_the_same_seed_gives_the_same_bits_whatever_was_drawn_before(some):
    """What is learned of cells is drawn from the module's own order, and its split may be drawn, too."""

    class Splits(Cells):
        def setup(self, stage: str) -> None:
            rows = torch.randperm(200).numpy()
            self.train, self.validation = rows[:170], rows[170:]

    found = []
    for _ in range(2):
        torch.rand(3)
        found.append(trained(Splits(some), max_epochs=2))
    one, other = (model.module.state_dict() for model in found)
    assert all(torch.equal(values, other[name]) for name, values in one.items())
    assert repr(found[0]._describe()) == repr(found[1]._describe())


def test_a_registry_can_fit_the_number_of_networks_to_its_cells(some):
    network = {name: value for name, value in NETWORK.items() if name != "n_members"}
    assert sims.models.SIMS(registry=Cells(some).registry, **network).params_["n_members"] == 8


def test_what_is_wrong_is_said(some):
    model = sims.models.SIMS(registry=Cells(some).registry, **NETWORK)
    with pytest.raises(ValueError, match="datamodule="):
        model.train(**QUICK)
    with pytest.raises(TypeError, match="DataFrame; expected a LightningDataModule"):
        model.train(datamodule=some.obs, **QUICK)
    with pytest.raises(ValueError, match="`batch_size` is up to `datamodule`"):
        model.train(datamodule=Cells(some), batch_size=3, **QUICK)
    with pytest.raises(ValueError, match=r"lacks 60 of the model's 60 genes"):
        model.train(datamodule=Cells(some, genes=[f"other_{i}" for i in range(60)]), **QUICK)
    with pytest.raises(TypeError, match="says nothing of 'X', 'labels'"):
        model.train(datamodule=LightningDataModule(), **QUICK)
    unlabelled = Cells(some)
    unlabelled.codes[:] = 1
    with pytest.raises(ValueError, match="no cell with a label"):
        model.train(datamodule=unlabelled, **QUICK)
    foreign = Cells(some)
    foreign.codes[170] = 4
    with pytest.raises(ValueError, match=r"Minibatch \d of the data module: labels run from 0 to 4"):
        model.train(datamodule=foreign, **QUICK)
    negative = Cells(some)
    negative.adata = some.copy()
    negative.adata.X[150, 3] = -1
    with pytest.raises(ValueError, match=r"Minibatch \d of the data module: .*negative"):
        model.train(datamodule=negative, **QUICK)
    narrow = Cells(some)
    narrow.storage = lambda counts: counts[:, :5]
    with pytest.raises(ValueError, match="`X` has 5 genes; its registry names 60"):
        model.train(datamodule=narrow, **QUICK)
    plain = Cells(some)
    plain.on_before_batch_transfer = lambda batch, _: batch  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError, match="a ndarray; expected a dictionary with 'X' and 'labels'"):
        model.train(datamodule=plain, **QUICK)
    alone = Cells(some)
    alone.labels = ["type_0", "Unknown"]
    with pytest.raises(ValueError, match="names 1 classes"):
        sims.models.SIMS(registry=alone.registry)
    assert not model.is_trained_


def test_a_reservoir_is_a_function_of_its_seed_and_keeps_small_classes():
    codes = np.repeat([0, 1, 2], [900, 90, 10])
    linear, totals = sparse.csr_matrix(np.arange(1000, dtype=np.float32)[:, None] + 1), np.arange(1000.0)

    def drawn(seed: int, **options: Any) -> tuple[Any, np.ndarray, np.ndarray]:
        reservoir = Reservoir(60, seed, **options)
        for start in range(0, 1000, 33):
            rows = slice(start, start + 33)
            reservoir.add(linear[rows], totals[rows], codes[rows])
        return reservoir.take()

    counts, total, found = drawn(0, balanced=True)
    assert np.bincount(found).tolist() == [25, 25, 10]
    assert (counts.toarray().ravel() == total + 1).all()
    assert (codes[total.astype(int)] == found).all()
    assert drawn(0, balanced=True)[1].tolist() == total.tolist() != drawn(1, balanced=True)[1].tolist()
    assert np.bincount(drawn(0)[2])[0] > 45


def test_annbatch_by_scvi_tools(planted, tmp_path: Path):
    annbatch = pytest.importorskip("annbatch")
    from scvi.dataloaders import AnnbatchDataModule

    planted.copy().write_h5ad(tmp_path / "cells.h5ad")
    collection = annbatch.DatasetCollection(tmp_path / "cells.zarr", mode="a")
    collection.add_adatas([tmp_path / "cells.h5ad"], shuffle=True, rng=np.random.default_rng(0))
    loader = annbatch.Loader(batch_size=32, chunk_size=16, preload_nchunks=4, shuffle=True, preload_to_gpu=False)
    loader.use_collection(collection)
    module = AnnbatchDataModule(
        loader, label_key="cell_type", var_names=list(planted.var_names), chunk_size=16, preload_nchunks=4,
        preload_to_gpu=False, batch_size=32,
    )  # fmt: skip
    module.set_split(train_size=0.8, validation_size=0.2)
    model = trained(module, max_epochs=60)  # whose order has no seed
    assert model.metrics["accuracy_validation"] > 0.8
    query = planted.copy()
    sims.tl.annotate(query, model, progress_bar=False)
    assert (query.obs["sims"] == query.obs["cell_type"]).mean() > 0.8
