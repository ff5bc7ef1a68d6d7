"""Loggers are fed what the history holds: TensorBoard, and W&B without a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import sims_tools as sims

TRACKED = ("train_loss", "validation_loss", "accuracy_validation", "median_f1_validation", "macro_f1_train")


@pytest.fixture
def quick(small) -> dict[str, Any]:
    return {**small, "max_epochs": 3}


def test_tensorboard_has_every_epoch(cells, quick, tmp_path):
    pytest.importorskip("tensorboard")
    from lightning.pytorch.loggers import TensorBoardLogger
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = TensorBoardLogger(tmp_path, name="runs")
    model = sims.tl.sims_train(cells, "cell_type", logger=logger, **quick)
    logger.finalize("success")
    events = EventAccumulator(logger.log_dir)
    events.Reload()
    for name in TRACKED:
        found = [event.value for event in events.Scalars(name)]
        np.testing.assert_allclose(found, model.history_by_epoch[name], rtol=1e-6)


def test_wandb_offline_has_the_last_epoch_and_changes_nothing(cells, quick, tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    from lightning.pytorch.loggers import WandbLogger

    for name in ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(project="sims", save_dir=tmp_path, offline=True)
    model = sims.tl.sims_train(cells, "cell_type", logger=logger, **quick)
    found = dict(logger.experiment.summary)
    logger.experiment.finish()
    for name in TRACKED:
        assert found[name] == pytest.approx(model.history_by_epoch[name][-1], rel=1e-6)
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    alone = sims.tl.sims_train(cells, "cell_type", **quick)
    np.testing.assert_array_equal(model.predict(cells, soft=True), alone.predict(cells, soft=True))
