"""`checkpoint=`: training that ended in the middle of an epoch goes on, and ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback, LambdaCallback

import sims_tools as sims

FILE = "training.safetensors"

RUN: dict[str, Any] = {"max_epochs": 4, "batch_size": 32, "progress_bar": False}
SMALL: dict[str, Any] = {**RUN, "n_d": 4, "n_a": 4, "n_steps": 2}
PLATEAU: dict[str, Any] = {"schedule": "plateau", "lr_patience": 0, "lr_factor": 0.5}

CASES: dict[str, dict[str, Any]] = {
    "sims, members": SMALL,
    "sims, its preset": {**SMALL, "preset": "sims"},
    "sims, plateau and average": {**SMALL, **PLATEAU, "n_members": 1, "weight_average": 0.9, "patience": 3},
    "sims, no validation": {**SMALL, "n_members": 1, "validation_size": 0.0, "penalty_warmup": 0.9},
    "sctab": {**SMALL, "preset": "sctab"},
    "actinn": {**RUN, "model": "actinn"},
    "pollock": {**RUN, "model": "pollock", "schedule": "steps", "lr_steps": 3},
    "cell_transformer": {**RUN, "model": "cell_transformer", "width": 8, "n_layers": 1, "n_heads": 2},
}


class Crash(Callback):
    """Fail in the middle of an epoch."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_batch_end(self, trainer: Any, plan: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.current_epoch, batch_idx) == (self.epoch, 1):
            raise RuntimeError("crash")


class Count(Callback):
    """Which epochs are trained."""

    def __init__(self) -> None:
        self.epochs: list[int] = []

    def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
        self.epochs.append(trainer.current_epoch)


def in_bytes(model: Any, folder: Path) -> dict[str, bytes]:
    """All that a saved model is."""
    model.save(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def crashed(train: Any, folder: Path, epoch: int = 2) -> Count:
    """Train until it crashes; which epochs it began."""
    count = Count()
    with pytest.raises(RuntimeError, match="crash"):
        train(checkpoint=folder, callbacks=[count, Crash(epoch)])
    return count


@pytest.mark.parametrize("case", CASES)
def test_what_crashed_ends_as_if_it_had_not(cells, tmp_path, case):
    def train(**more: Any) -> Any:
        return sims.tl.train(cells, "cell_type", n_top_genes=None, key_added="k", **CASES[case], **more)

    whole = in_bytes(train(), tmp_path / "whole")
    record = cells.uns.pop("k")
    split = list(cells.obs.pop("k_split"))
    count = crashed(train, tmp_path / "kept")
    assert count.epochs == [0, 1, 2]
    assert "k" not in cells.uns
    count = Count()
    assert in_bytes(train(checkpoint=tmp_path / "kept", callbacks=count), tmp_path / "gone_on") == whole
    assert count.epochs == [2, 3]
    assert list(cells.obs["k_split"]) == split
    for name, values in record["history"].items():
        np.testing.assert_array_equal(cells.uns["k"]["history"][name], values)
    assert [path.name for path in (tmp_path / "kept").iterdir()] == [FILE]
    count = Count()
    assert in_bytes(train(checkpoint=tmp_path / "kept", callbacks=count), tmp_path / "again") == whole
    assert count.epochs == []  # it was finished


def test_cells_with_proteins_go_on(cite, tmp_path):
    def train(**more: Any) -> Any:
        return sims.tl.sims_train(cite, "rna:cell_type", n_members=1, modality_dropout=0.5, **SMALL, **more)

    whole = in_bytes(train(), tmp_path / "whole")
    crashed(train, tmp_path / "kept")
    assert in_bytes(train(checkpoint=tmp_path / "kept"), tmp_path / "gone_on") == whole


def test_several_references_go_on(cells, tmp_path):
    """Which donor shows a cell is drawn anew in each epoch."""
    references = {"one": cells[:120], "other": cells[120:, 10:]}

    def train(**more: Any) -> Any:
        return sims.tl.sims_train(references, "cell_type", join="outer", n_members=1, **SMALL, **more)

    whole = in_bytes(train(), tmp_path / "whole")
    crashed(train, tmp_path / "kept")
    assert in_bytes(train(checkpoint=tmp_path / "kept"), tmp_path / "gone_on") == whole


def test_a_stream_goes_on(cells, tmp_path):
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)

    def train(**more: Any) -> Any:
        return sims.tl.sims_train(path, "cell_type", stream=True, sampling="balanced", n_members=1, **SMALL, **more)

    whole = in_bytes(train(), tmp_path / "whole")
    crashed(train, tmp_path / "kept")
    assert in_bytes(train(checkpoint=tmp_path / "kept"), tmp_path / "gone_on") == whole
    with pytest.raises(ValueError, match="holds another training; these differ: cells"):
        sims.tl.sims_train(
            path, "cell_type", sampling="balanced", n_members=1, checkpoint=tmp_path / "kept", stream=False, **SMALL
        )


def test_pretraining_goes_on(cells, tmp_path):
    def train(**more: Any) -> Any:
        return sims.tl.pretrain(cells, **SMALL, **more)

    whole = in_bytes(train(), tmp_path / "whole")
    crashed(train, tmp_path / "kept")
    assert in_bytes(train(checkpoint=tmp_path / "kept"), tmp_path / "gone_on") == whole


def test_the_autoencoder_goes_on(cite, tmp_path):
    sims.models.CITEAutoencoder.setup_mudata(cite, labels_key="cell_type")

    def train(**more: Any) -> Any:
        model = sims.models.CITEAutoencoder(cite)
        model.train(**RUN, **more)
        return model

    whole = in_bytes(train(), tmp_path / "whole")
    crashed(train, tmp_path / "kept")
    assert in_bytes(train(checkpoint=tmp_path / "kept"), tmp_path / "gone_on") == whole


# --- killed -----------------------------------------------------------------------------------------------------------

SCRIPT = """
    import os, signal, sys
    import torch
    from lightning.pytorch.callbacks import LambdaCallback
    import sims_tools as sims

    def kill(trainer, plan, outputs, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == (2, 1):
            os.kill(os.getpid(), signal.SIGKILL)

    torch.set_num_threads(1)
    cells = sims.data.planted_cells(n_cells=200, n_genes=60, n_classes=3)
    sims.tl.sims_train(
        cells, "cell_type", max_epochs=4, batch_size=32, n_d=4, n_a=4, n_steps=2, weight_average=0.9,
        progress_bar=False, checkpoint=sys.argv[1], callbacks=LambdaCallback(on_train_batch_end=kill),
    )
"""


def test_training_that_was_killed_ends_with_the_same_bits(cells, tmp_path):
    options = {**SMALL, "weight_average": 0.9}
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT), str(tmp_path / "kept")]
    killed = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    count = Count()
    model = sims.tl.sims_train(cells, "cell_type", checkpoint=tmp_path / "kept", callbacks=count, **options)
    assert count.epochs == [2, 3]
    whole = sims.tl.sims_train(cells, "cell_type", **options)
    assert in_bytes(model, tmp_path / "gone_on") == in_bytes(whole, tmp_path / "whole")


@pytest.mark.parametrize("epoch", [0, 3])
def test_what_crashed_in_the_first_or_last_epoch_ends_as_well(cells, tmp_path, epoch):
    def train(**more: Any) -> Any:
        return sims.tl.sims_train(cells, "cell_type", n_members=1, **SMALL, **more)

    whole = in_bytes(train(), tmp_path / "whole")
    crashed(train, tmp_path / "kept", epoch)
    assert (tmp_path / "kept").exists() == (epoch > 0)
    assert in_bytes(train(checkpoint=tmp_path / "kept"), tmp_path / "gone_on") == whole


def test_a_write_that_was_cut_off_leaves_the_state_before(cells, tmp_path, monkeypatch):
    def train(**more: Any) -> Any:
        return sims.tl.sims_train(cells, "cell_type", n_members=1, **SMALL, **more)

    whole, folder, replace = in_bytes(train(), tmp_path / "whole"), tmp_path / "kept", os.replace

    def fail(source: Any, target: Any) -> None:
        if Path(target).exists():
            raise OSError("No space left on device")
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr("sims_tools._whole_file.os.replace", fail)
        with pytest.raises(OSError, match="No space left"):
            train(checkpoint=folder)
    assert [path.name for path in folder.iterdir()] == [FILE]
    count = Count()
    assert in_bytes(train(checkpoint=folder, callbacks=count), tmp_path / "gone_on") == whole
    assert count.epochs == [1, 2, 3]


# --- stopped ----------------------------------------------------------------------------------------------------------


def test_after_an_interrupt_the_model_is_kept_and_the_next_call_goes_on(cells, tmp_path):
    def stop(trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 2:
            raise KeyboardInterrupt

    def train(**more: Any) -> Any:
        return sims.tl.sims_train(cells, "cell_type", n_members=1, **SMALL, **more)

    whole = in_bytes(train(), tmp_path / "whole")
    cut = train(checkpoint=tmp_path / "kept", callbacks=LambdaCallback(on_train_batch_end=stop))
    assert cut.was_interrupted_
    assert len(cut.history_by_epoch["epoch"]) == 2
    model = train(checkpoint=tmp_path / "kept")
    assert not model.was_interrupted_
    assert in_bytes(model, tmp_path / "gone_on") == whole


def test_what_stopped_early_is_finished_and_what_was_stopped_is_not(cells, tmp_path):
    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 1

    def train(**more: Any) -> Any:
        options = {**SMALL, "n_members": 1, "learning_rate": 1e-9, "schedule": "constant", "max_epochs": 9}
        return sims.tl.sims_train(cells, "cell_type", patience=3, **options, **more)

    whole = train()
    assert len(whole.history_by_epoch["epoch"]) < 9
    stopped = train(checkpoint=tmp_path / "kept", callbacks=Stop())
    assert len(stopped.history_by_epoch["epoch"]) == 2
    count = Count()
    model = train(checkpoint=tmp_path / "kept", callbacks=count)
    assert count.epochs[0] == 2
    assert in_bytes(model, tmp_path / "gone_on") == in_bytes(whole, tmp_path / "whole")
    count = Count()
    train(checkpoint=tmp_path / "kept", callbacks=count)
    assert count.epochs == []


def test_it_is_written_as_often_as_asked(cells, tmp_path):
    def train(**more: Any) -> Any:
        return sims.tl.sims_train(cells, "cell_type", n_members=1, checkpoint_every=2, **SMALL, **more)

    crashed(train, tmp_path / "kept", epoch=3)
    count = Count()
    train(checkpoint=tmp_path / "kept", callbacks=count)
    assert count.epochs == [2, 3]


def test_the_state_of_other_callbacks_is_kept(cells, tmp_path):
    class Sum(Callback):
        total = 0

        def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
            self.total += trainer.current_epoch

        def state_dict(self) -> dict[str, Any]:
            return {"total": self.total, "tensor": torch.ones(2), "pair": (1, None)}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            self.total = state["total"]
            assert state["pair"] == (1, None)

    class Odd(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"it": object()}

    def train(*others: Callback) -> Any:
        options = {**SMALL, "n_members": 1, "checkpoint": tmp_path / "kept"}
        return sims.tl.sims_train(cells, "cell_type", callbacks=others, **options)

    with pytest.raises(RuntimeError):
        train(Sum(), Crash(2))
    train(again := Sum())
    assert again.total == 0 + 1 + 2 + 3
    (tmp_path / "kept" / FILE).unlink()
    with pytest.raises(TypeError, match="Odd.*cannot be kept in a checkpoint.*is of type object"):
        train(Odd())


def test_random_states_of_others_are_left_alone(cells, tmp_path):
    before = torch.random.get_rng_state()
    sims.tl.sims_train(cells, "cell_type", n_members=1, checkpoint=tmp_path / "kept", **SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)


# --- what is not this training ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept(planted, tmp_path_factory):
    """The folder of a finished training."""
    folder = tmp_path_factory.mktemp("kept")
    sims.tl.sims_train(planted.copy(), "cell_type", n_members=1, checkpoint=folder, **SMALL)
    return folder


def other_counts(cells: Any) -> None:
    cells.X = cells.X.copy()
    cells.X.data[0] += 1


def other_labels(cells: Any) -> None:
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories({"type_0": "new"})


@pytest.mark.parametrize(
    ("change", "options", "named"),
    [
        (other_counts, {}, "cells"),
        (other_labels, {}, "classes"),
        (None, {"validation_size": 0.2}, "split"),
        (None, {"random_state": 1}, r"random_state \(0 there, 1 here\)"),
        (None, {"max_epochs": 5}, r"max_epochs \(4 there, 5 here\)"),
        (None, {"learning_rate": 0.1}, r"learning_rate \(0.005 there, 0.1 here\)"),
        (None, {"n_steps": 3}, r"initial weights, n_steps \(2 there, 3 here\)"),
        (None, {"n_top_genes": 20}, "cells, features"),
    ],
)
def test_another_training_is_refused(cells, kept, change, options, named):
    if change is not None:
        change(cells)
    before = (kept / FILE).read_bytes()
    with pytest.raises(ValueError, match=rf"holds another training; these differ: .*{named}.*another folder"):
        sims.tl.sims_train(cells, "cell_type", checkpoint=kept, **{**SMALL, "n_members": 1, **options})
    assert (kept / FILE).read_bytes() == before
    assert "sims" not in cells.uns


def test_another_version_is_refused(cells, kept, monkeypatch):
    found = {**sims.models._storage.package_versions(), "torch": "9.9"}
    monkeypatch.setattr("sims_tools.models._training_identity.package_versions", lambda: found)
    with pytest.raises(ValueError, match=r"these differ: torch version \('.*' there, '9.9' here\)"):
        sims.tl.sims_train(cells, "cell_type", n_members=1, checkpoint=kept, **SMALL)


@pytest.mark.parametrize("where", [0, 40, -1])
def test_a_damaged_file_is_refused(cells, kept, tmp_path, where):
    content = bytearray((kept / FILE).read_bytes())
    content[where] ^= 1
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(ValueError, match="damaged.*Delete it to train from the beginning"):
        sims.tl.sims_train(cells, "cell_type", n_members=1, checkpoint=tmp_path, **SMALL)


def test_a_file_is_no_folder(cells, kept):
    with pytest.raises(ValueError, match="is a file; expected a folder"):
        sims.tl.sims_train(cells, "cell_type", n_members=1, checkpoint=kept / FILE, **SMALL)


@pytest.mark.parametrize("every", [0, -1, 1.5])
def test_how_often_is_a_number_of_epochs(cells, tmp_path, every):
    with pytest.raises((ValueError, TypeError), match="checkpoint_every"):
        sims.tl.sims_train(cells, "cell_type", checkpoint=tmp_path, checkpoint_every=every, **SMALL)


def test_a_model_that_is_trained_on_has_a_folder_of_its_own(cells, tmp_path):
    """A second training starts from other weights; its history counts on."""
    sims.models.SIMS.setup_anndata(cells, "cell_type")

    def trained(first: str, second: str) -> Any:
        model = sims.models.SIMS(cells, n_members=1, n_d=4, n_a=4, n_steps=2)
        for name in (first, second):
            model.train(**RUN, **({"checkpoint": tmp_path / name} if name else {}))
        return model

    with pytest.raises(ValueError, match="initial weights"):
        trained("one", "one")
    model = trained("two", "three")
    assert model.history_by_epoch["epoch"].tolist() == list(range(8))
    assert in_bytes(model, tmp_path / "kept") == in_bytes(trained("", ""), tmp_path / "whole")
