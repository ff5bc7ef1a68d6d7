"""Training settings, class weights and the loss."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch.nn import functional as F

import sims_tools as sims
from sims_tools.models._callbacks import RunningAverage
from sims_tools.models._module import balanced_weights

TrainingSettings = sims.models.TrainingSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_epochs", 0), ("batch_size", -1), ("learning_rate", 0), ("lr_factor", 0), ("weight_decay", -1),
        ("patience", -1), ("gradient_clip", -0.1), ("label_smoothing", 1), ("penalty_warmup", 2),
        ("weight_average", 1), ("optimizer", "sgd"), ("schedule", "cosine"), ("monitor", "f1"), ("class_weights", -1),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"{name}.*{value}"):
        replace(TrainingSettings(), **{name: value})


@pytest.mark.parametrize(
    ("n_cells", "epochs", "size"),
    [
        (10, 200, 10),
        (300, 40, 64),
        (1000, 30, 64),
        (2000, 20, 64),
        (4000, 10, 64),
        (10_000, 5, 133),
        (1_000_000, 5, 1024),
    ],
)
def test_epochs_and_batches_fit_the_number_of_cells(n_cells, epochs, size):
    fitted = TrainingSettings().fit_to(n_cells)
    assert (fitted.max_epochs, fitted.batch_size) == (epochs, size)
    chosen = TrainingSettings(max_epochs=7, batch_size=3).fit_to(n_cells)
    assert (chosen.max_epochs, chosen.batch_size) == (7, 3)


@pytest.mark.parametrize(
    ("monitor", "logged", "mode"),
    [("validation_loss", "validation_loss", "min"), ("macro_f1", "macro_f1_validation", "max")],
)
def test_which_way_a_monitored_quantity_is_better(monitor, logged, mode):
    assert replace(TrainingSettings(), monitor=monitor).monitored == (logged, mode)


def test_every_setting_is_documented():
    for each in fields(TrainingSettings):
        assert each.name in TrainingSettings.__doc__


def test_class_weights_have_mean_one_over_the_cells():
    counts = torch.tensor([100, 10, 0, 1])
    weights = balanced_weights(counts, 1.0)
    np.testing.assert_allclose(weights, [37 / 100, 37 / 10, 0, 37], rtol=1e-6)
    np.testing.assert_allclose(balanced_weights(counts, 0.0), [1, 1, 0, 1])
    assert float((balanced_weights(counts, 0.3) * counts).sum()) == pytest.approx(111)


@pytest.fixture
def module(cells):
    sims.models.SIMS.setup_anndata(cells, "cell_type")
    return sims.models.SIMS(cells, n_d=4, n_a=4, n_members=1, sparsity=0.1).module


def _loss(module, counts, codes):
    batch = {"X": counts, "total_counts": counts.sum(1, keepdim=True), "labels": torch.tensor(codes).view(-1, 1)}
    with torch.no_grad():
        found, _, output = module(batch)
    return found, output


def test_the_loss_is_weighted_cross_entropy_plus_penalty(module):
    counts, codes = (
        torch.poisson(torch.full((6, 60), 2.0), generator=torch.Generator().manual_seed(0)),
        [0, 1, 2, 2, 1, 0],
    )
    module.eval()
    module.class_weights.copy_(torch.tensor([1.0, 2.0, 5.0]))
    module.penalty_scale = 0.5
    found, output = _loss(module, counts, codes)
    expected = F.cross_entropy(found["logits"], torch.tensor(codes), weight=module.class_weights)
    assert float(found["penalty"]) > 0
    torch.testing.assert_close(output.loss, expected + 0.5 * found["penalty"])


def test_labels_are_smoothed_in_training_only(module):
    counts, codes = torch.ones(4, 60), [0, 1, 2, 2]
    losses = {}
    for training in (True, False):
        for smoothing in (0.0, 0.5):
            module.train(training)
            torch.manual_seed(0)
            module.label_smoothing = smoothing
            module.class_weights.copy_(torch.tensor([1.0, 2.0, 5.0]))
            losses[training, smoothing] = float(_loss(module, counts * torch.arange(1, 5).view(-1, 1), codes)[1].loss)
    assert losses[False, 0.0] == losses[False, 0.5]
    assert losses[True, 0.0] != losses[True, 0.5]


def test_a_running_average_follows_the_weights():
    average = RunningAverage(0.9)
    for step in range(400):
        state = {"weight": torch.full((2,), 1.0 if step < 200 else 5.0), "count": torch.tensor(step)}
        average.update(state)
    torch.testing.assert_close(average.state["weight"], torch.full((2,), 5.0))
    assert int(average.state["count"]) == 399
    average.update({"weight": torch.zeros(2), "count": torch.tensor(400)})
    torch.testing.assert_close(average.state["weight"], torch.full((2,), 4.5))


def test_the_penalty_grows_over_its_warm_up(cells, small):
    scales: list[float] = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer: Any, plan: Any, batch: Any, index: int) -> None:
            if index == 0:
                scales.append(plan.module.penalty_scale)

    sims.tl.sims_train(cells, "cell_type", max_epochs=4, penalty_warmup=0.5, callbacks=[Watch()], **small)
    assert scales == [0, 0.5, 1, 1]


def test_masks_narrow_from_step_to_step(cells, small):
    limits: list[int] = []

    class Watch(Callback):
        def on_train_batch_end(self, trainer: Any, plan: Any, *_: Any) -> None:
            limits.append(plan.module.network.attentives[0].limit)

    model = sims.tl.sims_train(
        cells, "cell_type", max_epochs=4, max_selected=5, narrowing=0.5, callbacks=[Watch()], **small
    )
    half = len(limits) // 2
    assert limits[0] == len(model.genes)
    assert limits == sorted(limits, reverse=True)
    assert limits[half - 1] > 5
    assert set(limits[half:]) == {5}
    sims.tl.annotate(cells, model, progress_bar=False)
    assert np.diff(cells.obsm["sims_masks"].indptr).max() <= 3 * 5
