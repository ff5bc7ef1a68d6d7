"""Ctrl-C and crashes in the middle of training."""

from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import pytest
from lightning.pytorch.callbacks import Callback

import sims_tools as sims


class Break(Callback):
    """Raise, or press Ctrl-C, at a hook of an epoch."""

    def __init__(self, hook: str, epoch: int, error: type[BaseException] | None) -> None:
        self.epoch, self.error = epoch, error
        setattr(self, hook, self._break)

    def _break(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == self.epoch and not trainer.sanity_checking:
            if self.error is None:
                os.kill(os.getpid(), signal.SIGINT)
            else:
                raise self.error("boom")


HOOKS = ("on_train_epoch_start", "on_train_batch_end", "on_validation_start", "on_validation_end")


@pytest.fixture(autouse=True)
def _listens():
    """A process that was started in the background ignores Ctrl-C; these tests press it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("error", [KeyboardInterrupt, None], ids=["raised", "signal"])
@pytest.mark.parametrize("hook", HOOKS)
def test_the_model_so_far_is_returned(cells, small, snapshot, changes, tmp_path, caplog, hook, error):
    before, handler = snapshot(cells), signal.getsignal(signal.SIGINT)
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=50, callbacks=[Break(hook, 1, error)], **small)
    assert changes(before, snapshot(cells)) == set()
    assert signal.getsignal(signal.SIGINT) is handler
    assert model.is_trained_
    assert model.was_interrupted_
    assert any("interrupted" in each.getMessage() for each in caplog.records)
    assert 1 <= len(model.history_by_epoch["epoch"]) <= 2
    labels = model.predict(cells)
    assert set(labels) <= {"type_0", "type_1", "type_2"}
    assert np.isclose(model.gene_weights.sum(), 1)
    model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(cells, soft=True), model.predict(cells, soft=True))
    assert loaded.was_interrupted_
    sims.tl.annotate(cells, model, progress_bar=False)
    assert "sims" in cells.obs


def test_the_best_weights_are_restored_when_interrupted(cells, small):
    """Interrupted right after the first epoch: what is returned is that epoch's model."""
    options = small | {"weight_average": 0, "restore_best": True, "schedule": "constant", "validation_size": 0.3}
    options |= {"narrowing": 0}
    cut = sims.tl.sims_train(
        cells, "cell_type", max_epochs=9, callbacks=[Break("on_train_batch_end", 1, KeyboardInterrupt)], **options
    )
    whole = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **options)
    np.testing.assert_array_equal(cut.predict(cells, soft=True), whole.predict(cells, soft=True))


@pytest.mark.parametrize("error", [KeyboardInterrupt, None], ids=["raised", "signal"])
@pytest.mark.parametrize("hook", ["on_fit_start", "on_train_epoch_start", "on_train_batch_end", "on_validation_end"])
def test_in_the_first_epoch_there_is_no_model(cells, small, snapshot, changes, capfd, hook, error):
    before, handler = snapshot(cells), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sims.tl.sims_train(cells, "cell_type", max_epochs=5, callbacks=[Break(hook, 0, error)], **small)
    assert changes(before, snapshot(cells)) == set()
    assert signal.getsignal(signal.SIGINT) is handler
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("epoch", [0, 1])
@pytest.mark.parametrize("error", [RuntimeError, ValueError, SystemExit])
def test_a_crash_is_passed_on_in_silence(cells, small, snapshot, changes, capfd, epoch, error):
    before, handler = snapshot(cells), signal.getsignal(signal.SIGINT)
    stores = (sims.models.SIMS._setup_adata_manager_store, sims.models.SIMS._per_instance_manager_store)
    sizes = [len(store) for store in stores]
    with pytest.raises(BaseException, match="boom") as caught:
        sims.tl.sims_train(
            cells, "cell_type", max_epochs=5, callbacks=[Break("on_train_batch_end", epoch, error)], **small
        )
    assert caught.type is error
    assert changes(before, snapshot(cells)) == set()
    assert signal.getsignal(signal.SIGINT) is handler
    assert [len(store) for store in stores] == sizes
    assert capfd.readouterr() == ("", "")


def test_one_can_train_again_after_an_interrupt(cells, small):
    with pytest.raises(KeyboardInterrupt):
        sims.tl.sims_train(
            cells, "cell_type", max_epochs=2, callbacks=[Break("on_train_batch_end", 0, KeyboardInterrupt)], **small
        )
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    assert not model.was_interrupted_
