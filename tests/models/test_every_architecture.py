"""What every architecture in `models.available()` must do; a new file in `models/` is tested without a new test."""

from __future__ import annotations

import inspect
from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch

import sims_tools as sims

NAMES = list(sims.models.available().index)


@pytest.fixture(scope="module", params=NAMES)
def trained(request: pytest.FixtureRequest, planted: ad.AnnData) -> tuple[Any, ad.AnnData]:
    """One epoch of the architecture's default on planted cells."""
    cells = planted.copy()
    model_class = sims.models.get_model_class(request.param)
    model_class.setup_anndata(cells, "cell_type")
    model = model_class(cells)
    model.train(1, progress_bar=False)
    return model, cells


def test_the_table_lists_them():
    table = sims.models.available()
    assert "sims" in table.index
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
    np.testing.assert_allclose(query.obsm["sims_prob"], model.predict(query, soft=True), atol=1e-5)
    assert np.isclose(model.gene_weights.sum(), 1)
    assert model.gene_weights.shape == (60,)


def test_the_same_seed_builds_the_same_network(trained):
    model, cells = trained
    first, second, third = (type(model)(cells, random_state=seed).module.state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], third[name]) for name in first)
