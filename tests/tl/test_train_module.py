"""`tl.train` and `tl.sims_train` on a data module, in place of objects and files."""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

import sims_tools as sims

_SPEC = importlib.util.spec_from_file_location(
    "datamodules", Path(__file__).parents[1] / "models" / "test_datamodule.py"
)
datamodules = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(datamodules)
Cells = datamodules.Cells
QUICK: dict[str, Any] = {**datamodules.QUICK, **datamodules.NETWORK}


@pytest.fixture
def labelled(planted) -> ad.AnnData:
    return planted.copy()


@pytest.mark.parametrize("way", ["variance_and_class", "highly_variable", "detected"])
def test_genes_are_chosen_as_from_the_same_cells_in_memory(labelled, way):
    """From training cells, in one pass; weights, scores and what is known of cells belong to these genes."""
    module = Cells(labelled, "scipy")
    number = {} if way == "detected" else {"n_top_genes": 20}
    model = sims.tl.sims_train(datamodule=module, gene_choice=way, **number, **QUICK)
    assert module.n_passes == 3  # genes, then counts and moments, then training
    there = labelled[module.train].copy()
    in_memory = sims.tl.sims_train(
        there, "cell_type", gene_choice=way, **number, validation_size=0, **{**QUICK, "max_epochs": 1}
    )
    assert list(model.genes) == list(in_memory.genes)
    if model.module.transform.scale_genes:
        scale = (each.module.transform.gene_scale.numpy() for each in (model, in_memory))
        np.testing.assert_allclose(*scale, rtol=1e-4)
    assert model.metrics["macro_f1_validation"] > 0.9


def test_the_model_is_as_any_other(labelled, tmp_path):
    model = sims.tl.train(datamodule=Cells(labelled), model="actinn", max_epochs=25, progress_bar=False)
    assert list(model.classes) == ["type_0", "type_1", "type_2"]
    model.save(tmp_path / "model")
    query = labelled.copy()
    sims.tl.annotate(query, tmp_path / "model", progress_bar=False)
    assert (query.obs["actinn"] == query.obs["cell_type"]).mean() > 0.5
    further = sims.tl.train(
        datamodule=Cells(labelled), model="actinn", init_from=model, max_epochs=1, progress_bar=False, random_state=1
    )
    assert further.init_from_ is not None
    assert set(model.genes) <= set(further.genes)


def test_checkpoints_and_all_genes(labelled, tmp_path):
    options = {"datamodule": Cells(labelled), "checkpoint": tmp_path / "kept", "n_top_genes": None}
    one = sims.tl.sims_train(**options, **{**QUICK, "max_epochs": 2})
    assert options["datamodule"].n_passes == 2
    assert len(one.genes) == 60
    again = sims.tl.sims_train(**options, **{**QUICK, "max_epochs": 2})
    assert np.array_equal(one.gene_weights, again.gene_weights)


def test_classes_without_a_cell_are_never_called(labelled):
    module = Cells(labelled)
    module.labels = [*module.labels, "type_9"]
    model = sims.tl.sims_train(datamodule=module, **QUICK)
    assert list(model.classes)[-1] == "type_9"
    assert "type_9" not in set(model.predict(labelled))


def test_names_of_genes_may_be_told(labelled, caplog):
    module = Cells(labelled, genes=[str(number) for number in range(60)])  # as TileDB-SOMA's
    quick = {**QUICK, "max_epochs": 1, "n_top_genes": 20}
    with caplog.at_level(logging.WARNING, logger="sims_tools"):
        sims.tl.sims_train(datamodule=module, **quick)
    assert "Cells names genes by numbers: '0', '1', '2'" in caplog.text
    module.var_names = labelled.var_names
    model = sims.tl.sims_train(datamodule=module, **quick)
    assert set(model.genes) <= set(labelled.var_names)


def test_data_sets_that_number_labels_or_genes_otherwise_are_refused(labelled):
    """As Lamin's do, where a collection of validation cells lacks a class, or orders genes otherwise."""
    module = Cells(labelled)
    loader = type("Loader", (), {})()
    loader.dataset = type("Mapped", (), {"encoders": {"cell_type": {"type_0": 0, "type_2": 1}}})()
    module.val_dataloader = lambda: loader
    with pytest.raises(ValueError, match="numbers the labels 'type_0', 'type_2', and its registry 'type_0', 'Unk"):
        sims.tl.sims_train(datamodule=module, **QUICK)
    loader.dataset = type("Mapped", (), {"var_joint": labelled.var_names[::-1]})()
    with pytest.raises(ValueError, match="brings genes 'gene_59'.*registry names 'gene_0'"):
        sims.tl.sims_train(datamodule=module, **QUICK)


@pytest.mark.parametrize(
    "given", [{"split_by": "donor"}, {"validation_size": 0.2}, {"layer": "counts"}, {"stream": True}, {"join": "outer"}]
)
def test_what_speaks_of_objects_is_refused(labelled, given):
    with pytest.raises(ValueError, match=rf"'{next(iter(given))}' cannot be given with `datamodule`"):
        sims.tl.sims_train(datamodule=Cells(labelled), **given)


def test_what_is_missing_or_wrong_is_said(labelled):
    with pytest.raises(TypeError, match="`sims_train` lacks 'adata', 'labels_key'"):
        sims.tl.sims_train()
    with pytest.raises(TypeError, match="`train` lacks 'labels_key'"):
        sims.tl.train(labelled)
    with pytest.raises(ValueError, match="'adata', 'labels_key' cannot be given with `datamodule`"):
        sims.tl.sims_train(labelled, "cell_type", datamodule=Cells(labelled))
    with pytest.raises(TypeError, match="DataFrame; expected a LightningDataModule"):
        sims.tl.sims_train(datamodule=labelled.obs)
    with pytest.raises(ValueError, match="`batch_size` is up to `datamodule`"):
        sims.tl.sims_train(datamodule=Cells(labelled), batch_size=10)
    with pytest.raises(ValueError, match="does not go with `datamodule`, which decides which cells"):
        sims.tl.train(datamodule=Cells(labelled), model="pollock", preset="tutorial")
    with pytest.raises(TypeError, match="'n_dd' is not a parameter"):
        sims.tl.sims_train(datamodule=Cells(labelled), n_dd=3)
