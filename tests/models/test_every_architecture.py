"""What every architecture in `models.available()` must do; a new file in `models/` is tested without a new test."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch

import sims_tools as sims

NAMES = list(sims.models.available().index)

SMALL: dict[str, dict[str, Any]] = {
    "cell_transformer": {"width": 16, "n_layers": 1, "n_heads": 2, "dropout": 0.1},
}
"""Parameters of a network whose default takes long."""


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, planted: ad.AnnData) -> tuple[Any, ad.AnnData]:
    """One epoch of the architecture's default, small where that takes long, on planted cells."""
    cells = planted.copy()
    model_class = sims.models.get_model_class(request.param)
    model_class.setup_anndata(cells, "cell_type")
    model = model_class(cells, **SMALL.get(request.param, {}))
    model.train(1, progress_bar=False)
    return model, cells


def test_the_table_lists_them():
    table = sims.models.available()
    assert {"actinn", "pollock", "sims"} <= set(table.index)
    assert table.index.name == "name"
    assert list(table.columns) == ["class", "reference", "presets"]
    assert table.index.is_unique
    for name, row in table.iterrows():
        assert sims.models.get_model_class(name).__name__ == row["class"]
    with pytest.raises(ValueError, match=r"simz.*Did you mean 'sims'"):
        sims.models.get_model_class("simz")


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name):
    model_class = sims.models.get_model_class(name)
    assert issubclass(model_class, sims.models.ClassifierModel)
    assert model_class.name == name
    assert len(model_class.reference) > 10
    assert model_class.__doc__
    assert "default" in model_class.presets
    assert getattr(sims.models, model_class.__name__) is model_class


@pytest.mark.parametrize("name", NAMES)
def test_its_network_takes_its_size_and_keyword_parameters(name):
    model_class = sims.models.get_model_class(name)
    parameters = list(inspect.signature(model_class.Network).parameters.values())
    positional = [each for each in parameters if each.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    assert len(positional) == 2
    assert all(each.default is inspect.Parameter.empty for each in positional)
    for each in parameters[2:]:
        assert each.kind is inspect.Parameter.KEYWORD_ONLY
        assert each.default is not inspect.Parameter.empty
    names = {each.name for each in parameters[2:]}
    for preset in model_class.presets.values():
        assert set(preset.network) <= names
        assert preset.source


@pytest.mark.parametrize(
    ("name", "preset"), [(name, key) for name in NAMES for key in sims.models.get_model_class(name).presets]
)
def test_every_preset_builds_a_network_that_answers(name, preset):
    model_class = sims.models.get_model_class(name)
    network = model_class.Network(30, 4, **model_class.presets[preset].network).eval()
    with torch.no_grad():
        output = network(torch.rand(5, 30), explain=True)
    assert output.logits.shape == (5, 4)
    assert output.embedding.ndim == 2
    assert output.penalty.ndim == 0
    assert all(bool(torch.isfinite(each).all()) for each in output if each is not None)


def test_its_answers_are_sound(trained):
    model, cells = trained
    blocks = list(model.infer(cells, batch_size=64, explain=True))
    assert [len(each.logits) for each in blocks] == [64, 64, 64, 8]
    logits = np.concatenate([each.logits for each in blocks])
    assert logits.shape == (200, 3)
    assert np.isfinite(logits).all()
    embedding = np.concatenate([each.embedding for each in blocks])
    assert embedding.ndim == 2
    assert len(embedding) == 200
    assert np.isfinite(embedding).all()
    assert not np.concatenate([each.empty for each in blocks]).any()
    for block in blocks:
        if block.masks is not None:
            assert block.masks.shape == (len(block.logits), 60)
            np.testing.assert_allclose(block.masks.sum(1), 1, atol=1e-5)
            assert block.masks.min() >= 0
    assert all(each.masks is None for each in model.infer(cells))
    np.testing.assert_allclose(model.predict(cells, soft=True).sum(axis=1), 1, atol=1e-6)


def test_its_history_is_complete(trained):
    history = trained[0].history_by_epoch
    assert {"train_loss", "validation_loss", "accuracy_train", "accuracy_validation"} <= set(history)
    assert all(values.shape == (1,) and np.isfinite(values).all() for values in history.values())


def test_it_is_saved_and_loaded_as_it_is(trained, tmp_path):
    model, cells = trained
    model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    assert type(loaded) is type(model)
    np.testing.assert_array_equal(loaded.predict(cells, soft=True), model.predict(cells, soft=True))


def test_it_annotates(trained):
    model, cells = trained
    query = cells[::-1].copy()
    sims.tl.annotate(query, model, embedding=True, top_k=2, progress_bar=False)
    np.testing.assert_allclose(query.obsm[f"{model.name}_prob"], model.predict(query, soft=True), atol=1e-5)
    assert np.isclose(model.gene_weights.sum(), 1)
    assert model.gene_weights.shape == (60,)


def test_the_same_seed_builds_the_same_network(trained):
    model, cells = trained
    first, second, third = (type(model)(cells, random_state=seed).module.state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)


# --- through the functions of users -----------------------------------------------------------------------------------

QUIET = {"progress_bar": False}
QUICK = {"max_epochs": 15, "learning_rate": 5e-3, "batch_size": 32, "n_members": 1, **QUIET}


@pytest.fixture(scope="module", params=NAMES)
def taught(request: pytest.FixtureRequest, planted: ad.AnnData) -> tuple[Any, ad.AnnData]:
    """The architecture's default, taught the planted classes by a few steps of a high rate."""
    cells = planted.copy()
    return sims.tl.train(cells, "cell_type", model=request.param, **QUICK, **SMALL.get(request.param, {})), cells


def test_it_learns_planted_classes(taught):
    model, cells = taught
    assert type(model).name == model.name
    held_out = (cells.obs[f"{model.name}_split"] == "validation").to_numpy()
    assert (model.predict(cells)[held_out] == cells.obs["cell_type"][held_out]).mean() > 0.8


def test_training_leaves_its_record_and_nothing_else(taught, planted, snapshot, changes):
    model, cells = taught
    assert changes(snapshot(planted), snapshot(cells)) == {f"obs/{model.name}_split", f"uns/{model.name}"}
    record = cells.uns[model.name]
    assert record["params"]["model"] == model.name
    assert list(record["features"]) == list(model.genes)
    assert set(model.genes) <= set(planted.var_names)


def test_the_same_seed_trains_the_same_model(taught, planted):
    how = {"model": taught[0].name, **QUICK, **SMALL.get(taught[0].name, {}), "max_epochs": 1}
    model, twin = (sims.tl.train(planted.copy(), "cell_type", **how) for _ in range(2))
    for name, value in model.module.state_dict().items():
        assert torch.equal(value, twin.module.state_dict()[name]), name
    assert model.predict(planted, soft=True).equals(twin.predict(planted, soft=True))


def test_a_saved_model_annotates_and_embeds_as_the_one_in_memory(taught, planted, tmp_path):
    model, _ = taught
    model.save(tmp_path / "model")
    first, second = planted.copy(), planted[:, ::-1].copy()
    for cells, trained in ((first, model), (second, tmp_path / "model")):
        sims.tl.annotate(cells, trained, prediction_sets=0.2, reject=0.1, groupby="donor", **QUIET)
        sims.tl.embed(cells, trained, **QUIET)
    name = model.name
    np.testing.assert_allclose(first.obsm[f"{name}_prob"], second.obsm[f"{name}_prob"], atol=1e-5)
    np.testing.assert_allclose(first.obsm[f"X_{name}"], second.obsm[f"X_{name}"], rtol=1e-4, atol=1e-4)
    first.write_h5ad(tmp_path / "cells.h5ad")
    assert ad.read_h5ad(tmp_path / "cells.h5ad").obs[name].equals(first.obs[name])


def test_its_annotation_is_evaluated(taught, planted):
    model, cells = taught[0], planted.copy()
    sims.tl.annotate(cells, model, prediction_sets=0.2, **QUIET)
    sims.tl.evaluate(cells, "cell_type", key=model.name)
    table = sims.get.evaluation_df(cells, key=model.name)
    assert len(table)


def test_masks_are_written_where_it_has_any_and_missed_by_name_where_not(taught, planted):
    model, cells = taught[0], planted.copy()
    sims.tl.annotate(cells, model, masks=True, **QUIET)
    has_masks = next(iter(model.infer(cells, explain=True))).masks is not None
    assert (f"{model.name}_masks" in cells.obsm) == has_masks
    if has_masks:
        sims.tl.rank_mask_genes(cells, key=model.name)
    else:
        with pytest.raises(KeyError, match="Only models that have masks"):
            sims.tl.rank_mask_genes(cells, key=model.name)


def test_genes_missing_from_a_query_are_borne(taught, planted):
    model = taught[0]
    fewer = planted[:, 3:].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sims.tl.annotate(fewer, model, **QUIET)
    assert (fewer.obs[model.name] == fewer.obs["cell_type"]).mean() > 0.7


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_proteins_beside_genes_or_says_that_it_does_not(name, cite):
    try:
        model = sims.tl.train(cite, "cell_type", model=name, **{**QUICK, "max_epochs": 1})
    except ValueError as error:
        assert "protein" in str(error)  # noqa: PT017
        return
    sims.tl.annotate(cite, model, **QUIET)
    genes = cite.mod["rna"].copy()
    sims.tl.annotate(genes, model, **QUIET)
    assert cite.obsm[f"{name}_prob"].shape == genes.obsm[f"{name}_prob"].shape == (200, 3)


def test_it_can_start_from_what_was_trained_before(trained):
    model, cells = trained
    new = type(model)(cells, random_state=5, **SMALL.get(model.name, {}))
    first = next(new.networks[0].parameters()).clone()
    new.start_from(model)
    assert not torch.equal(next(new.networks[0].parameters()), first)
    for own, old in zip(new.networks, model.networks, strict=True):
        weights = own.state_dict()
        known = {name: value for name, value in old.state_dict().items() if value.is_floating_point()}
        assert all(torch.equal(weights[name], value) for name, value in known.items())
