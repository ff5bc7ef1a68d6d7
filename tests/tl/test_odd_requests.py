"""Requests that are unusual, and what comes of them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import LambdaCallback

import sims_tools as sims


def test_no_seed_draws_one_from_torch(cells, small):
    def train(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return sims.tl.sims_train(cells.copy(), "cell_type", max_epochs=1, random_state=None, **small)

    first, again, other = train(5), train(5), train(6)
    assert first.params_["random_state"] == again.params_["random_state"] != other.params_["random_state"]
    np.testing.assert_array_equal(first.predict(cells, soft=True), again.predict(cells, soft=True))
    assert not np.array_equal(first.predict(cells, soft=True), other.predict(cells, soft=True))


@pytest.mark.parametrize("key", ["", "a/b", 3])
def test_a_key_that_cannot_be_one_is_refused_before_the_work(cells, model, small, key):
    before = set(cells.obs), set(cells.uns)
    with pytest.raises(ValueError, match="cannot be a key"):
        sims.tl.annotate(cells, model, key_added=key, progress_bar=False)
    with pytest.raises(ValueError, match="cannot be a key"):
        sims.tl.sims_train(cells, "cell_type", key_added=key, **small)
    assert (set(cells.obs), set(cells.uns)) == before


def test_no_unlabeled_category_is_refused_by_name(cells, small):
    with pytest.raises(TypeError, match="unlabeled_category"):
        sims.tl.sims_train(cells, "cell_type", unlabeled_category=None, **small)


def test_a_single_callback_is_taken(cells, small):
    seen: list[int] = []
    watch = LambdaCallback(on_train_epoch_end=lambda trainer, plan: seen.append(trainer.current_epoch))
    sims.tl.sims_train(cells, "cell_type", max_epochs=2, callbacks=watch, **small)
    assert seen == [0, 1]


def test_too_few_cells_to_hold_any_out_is_said(small, caplog):
    few = sims.data.planted_cells(12, 40, 3)
    with caplog.at_level(logging.WARNING, logger="sims_tools"):
        sims.tl.sims_train(few, "cell_type", max_epochs=1, **small)
    assert "No class has enough cells" in caplog.text
    assert (few.obs["sims_split"] == "train").all()


def test_a_model_is_saved_into_the_folder_one_stands_in(cells, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    model.save(".")
    np.testing.assert_array_equal(sims.models.load(tmp_path).predict(cells), model.predict(cells))


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda column: column.astype(str).str[-1].astype(int), "astype"),
        (lambda column: column.cat.add_categories("nobody"), "remove_unused_categories"),
        (lambda column: column.where(column != "type_0"), "NaN"),
    ],
)
def test_labels_that_scvi_tools_cannot_take_are_refused_with_the_remedy(cells, small, spoil, said):
    cells.obs["label"] = spoil(cells.obs["cell_type"])
    with pytest.raises(ValueError, match=said):
        sims.models.SIMS.setup_anndata(cells, "label")
    assert not [column for column in cells.obs if column.startswith("_scvi")]
    assert sims.tl.sims_train(cells, "label", max_epochs=1, **small).is_trained_
