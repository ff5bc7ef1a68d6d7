"""`tl.pretrain` on files: in memory the same bits as from objects, streamed as good."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import pytest
import torch
from lightning.pytorch.callbacks import Callback

import sims_tools as sims

RUN: dict[str, Any] = {"n_d": 4, "n_a": 4, "n_steps": 2, "batch_size": 64, "max_epochs": 8, "progress_bar": False}


class Interrupted(Exception):
    """What stops a training."""


class Break(Callback):
    """Stops before the fifth epoch."""

    def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
        if trainer.current_epoch == 4:
            raise Interrupted


@pytest.fixture(scope="module")
def whole() -> ad.AnnData:
    """Cells without labels, some without counts."""
    cells = sims.data.planted_cells(n_cells=600, n_genes=50, n_classes=3)
    cells.X[[3, 70]] = 0
    del cells.obs["cell_type"]
    return cells


@pytest.fixture(scope="module")
def path(whole: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pretraining") / "cells.h5ad"
    whole.write_h5ad(path)
    return path


def same(one: Any, other: Any) -> bool:
    pairs = zip(one.module.state_dict().values(), other.module.state_dict().values(), strict=True)
    return one.genes_ == other.genes_ and all(torch.equal(a, b) for a, b in pairs)


def test_a_path_gives_the_bits_of_the_object(whole, path, tmp_path):
    whole.write_zarr(tmp_path / "cells.zarr")
    expected = sims.tl.pretrain(whole, n_top_genes=40, **RUN)
    for given in (path, str(tmp_path / "cells.zarr"), {"one": path}):
        assert same(expected, sims.tl.pretrain(given, n_top_genes=40, **RUN))


def test_a_stream_is_as_good_and_the_same_for_a_seed(whole, path, monkeypatch, tmp_path):
    monkeypatch.setattr("sims_tools.data._stream._MOST_CELLS", 200)
    monkeypatch.setattr("sims_tools.data._stream._SMALLEST_BUFFER", 200)
    run = RUN | {"max_epochs": 20}
    in_memory, streamed = (sims.tl.pretrain(path, stream=stream, **run) for stream in (False, True))
    assert streamed.genes_ == in_memory.genes_
    for model in (in_memory, streamed):
        assert model.metrics["validation_loss"] < 0.8  # 1 is what the mean of each gene would give
    assert not same(streamed, in_memory)
    backed = ad.read_h5ad(path, backed="r")
    assert same(streamed, sims.tl.pretrain(backed, stream=True, **run))
    backed.file.close()
    streamed.save(tmp_path / "encoder")
    labelled = sims.data.planted_cells(n_cells=90, n_genes=50, n_classes=3)
    model = sims.tl.sims_train(labelled, "cell_type", init_from=tmp_path / "encoder", max_epochs=1, progress_bar=False)
    assert set(streamed.genes_) <= set(model.genes)


@pytest.mark.parametrize("stream", [False, True])
def test_several_files_are_read_by_the_genes_of_all(whole, path, tmp_path, stream):
    other = whole[:200, ::-1][:, :45].copy()
    other.write_h5ad(tmp_path / "other.h5ad")
    model = sims.tl.pretrain([path, tmp_path / "other.h5ad"], stream=stream, n_top_genes=None, **RUN)
    assert sorted(model.genes_) == sorted(other.var_names)
    n_train, n_held = len(model.train_indices), len(model.validation_indices)
    assert n_train + n_held == 800 - 4  # those without counts


def test_a_stream_goes_on_from_its_checkpoint(path, tmp_path):
    expected = sims.tl.pretrain(path, stream=True, **RUN)
    with pytest.raises(Interrupted):
        sims.tl.pretrain(path, stream=True, checkpoint=tmp_path, callbacks=[Break()], **RUN)
    assert same(expected, sims.tl.pretrain(path, stream=True, checkpoint=tmp_path, **RUN))


def test_what_cannot_be_read_is_said(whole, path, tmp_path, planted_cite):
    with pytest.raises(FileNotFoundError, match="nothing.h5ad"):
        sims.tl.pretrain(tmp_path / "nothing.h5ad", **RUN)
    with pytest.raises(ValueError, match=r"`stream='yes'`"):
        sims.tl.pretrain(path, stream="yes", **RUN)
    with pytest.raises(TypeError, match="is a MuData; .*modality"):
        sims.tl.pretrain([planted_cite], **RUN)
    with pytest.raises(ValueError, match="list is empty"):
        sims.tl.pretrain([], **RUN)
    silent = whole[:5].copy()
    silent.X[1:] = 0
    silent.write_h5ad(tmp_path / "silent.h5ad")
    with pytest.raises(ValueError, match="1 of 5 cells have counts"):
        sims.tl.pretrain(tmp_path / "silent.h5ad", **RUN)
