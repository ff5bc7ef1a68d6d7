"""Training that streams its cells: as accurate as in memory, the same bits for a seed, nothing else changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score

import sims_tools as sims

RUN: dict[str, Any] = {"max_epochs": 3, "learning_rate": 0.02, "n_members": 1, "progress_bar": False, "random_state": 0}


@pytest.fixture(scope="module")
def planted_cells() -> ad.AnnData:
    """2,000 cells of 6 classes; do not change it."""
    return sims.data.planted_cells(2000, n_genes=80, n_classes=6, weights=np.array([8, 8, 8, 8, 2, 1]), fold=5.0)


@pytest.fixture(scope="module")
def whole(planted_cells: ad.AnnData) -> ad.AnnData:
    """1,500 of them, sorted by class, the worst case; do not change it."""
    adata = planted_cells[:1500]
    return adata[np.argsort(adata.obs["cell_type"].cat.codes, kind="stable")].copy()


@pytest.fixture(scope="module")
def path(whole: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streaming") / "sorted.h5ad"
    whole.write_h5ad(path)
    return path


@pytest.fixture
def small_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1,500 cells, a third is in memory at a time, in blocks of 8."""
    monkeypatch.setattr("sims_tools.data._stream._MOST_CELLS", 500)
    monkeypatch.setattr("sims_tools.data._stream._SMALLEST_BUFFER", 500)


def same(one: Any, other: Any) -> bool:
    mine, theirs = one.module.state_dict(), other.module.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in mine.items())


def test_cells_sorted_by_class_are_learned_as_well_as_in_memory(planted_cells, path, small_buffers):
    scores = {}
    for stream in (False, True):
        model = sims.tl.sims_train(path, "cell_type", stream=stream, **RUN | {"max_epochs": 20})
        query = planted_cells[1500:].copy()
        sims.tl.annotate(query, model, progress_bar=False)
        scores[stream] = f1_score(query.obs["cell_type"], query.obs["sims"], average="macro")
        assert list(model.classes) == [f"type_{i}" for i in range(6)]
    assert scores[True] > scores[False] - 0.03
    assert scores[True] > 0.9


def test_one_seed_gives_one_model_and_another_another(path, small_buffers):
    run = RUN | {"max_epochs": 1, "stream": True}
    one = sims.tl.sims_train(path, "cell_type", **run)
    assert same(one, sims.tl.sims_train(path, "cell_type", **run))
    assert not same(one, sims.tl.sims_train(path, "cell_type", **run | {"random_state": 1}))


def test_where_all_fits_into_the_buffer_split_genes_and_scaling_are_those_of_memory(whole, path, tmp_path):
    run = RUN | {"max_epochs": 1, "n_top_genes": 30, "split_by": "donor", "scale_genes": True}
    streamed = sims.tl.sims_train(path, "cell_type", stream=True, **run)
    known = sims.tl.sims_train(path, "cell_type", stream=False, **run)
    assert list(streamed.genes) == list(known.genes)
    assert streamed.split_["split"].tolist() == known.split_["split"].tolist()
    torch.testing.assert_close(streamed.module.transform.gene_scale, known.module.transform.gene_scale)
    assert streamed.confidence_.temperature.n_cells == known.confidence_.temperature.n_cells
    held = streamed.split_["split"].to_numpy() == "validation"
    assert set(whole.obs["donor"][held]).isdisjoint(whole.obs["donor"][~held])
    assert streamed.split_.index.tolist() == list(range(1500))
    streamed.save(tmp_path / "model")
    again = sims.models.load(tmp_path / "model")
    assert again.predict(whole[::20]).tolist() == streamed.predict(whole[::20]).tolist()
    assert again.references_["names"] == ["sorted"]


@pytest.mark.parametrize("model", ["actinn", "pollock"])
def test_other_architectures_stream(path, model):
    run = RUN | {"max_epochs": 1, "stream": True, "n_members": 1}
    trained = sims.tl.train(path, "cell_type", model=model, **run)
    assert trained.is_trained_


def test_backed_objects_are_streamed_and_written_to(whole, path, snapshot, changes):
    backed = ad.read_h5ad(path, backed="r")
    before = snapshot(backed)
    model = sims.tl.sims_train(backed, "cell_type", stream=True, **RUN | {"max_epochs": 1})
    assert changes(before, snapshot(backed)) == {"obs/sims_split", "uns/sims"}
    assert backed.uns["sims"]["params"]["stream"]
    in_memory = whole.copy()
    assert same(model, sims.tl.sims_train(in_memory, "cell_type", stream=True, **RUN | {"max_epochs": 1}))
    backed.file.close()


def test_auto_streams_what_does_not_fit_into_half_of_the_memory(path, whole, monkeypatch, caplog):
    run = RUN | {"max_epochs": 1, "n_top_genes": 30}
    caplog.set_level("INFO", "sims_tools")
    sims.tl.sims_train(path, "cell_type", **run)
    assert "streams its cells" not in caplog.text
    genes = sims.tl.sims_train(path, "cell_type", stream=False, **run).genes
    needed = 8 * whole[:, genes].X.nnz + 8 * 1500
    for free, streams in ((2 * needed + 2, False), (2 * needed - 2, True)):
        monkeypatch.setattr("sims_tools.data._free_memory.free_memory", lambda free=free: free)
        caplog.clear()
        sims.tl.sims_train(path, "cell_type", **run)
        assert ("streams its cells" in caplog.text) == streams
    backed = ad.read_h5ad(path, backed="r")
    caplog.clear()
    sims.tl.sims_train(backed, "cell_type", **run)
    assert "streams its cells" in caplog.text
    backed.file.close()


@pytest.mark.parametrize("stream", [False, True])
def test_balanced_sampling_shows_rare_classes_as_often(path, stream, small_buffers, monkeypatch):
    from sims_tools.models._module import ClassifierModule

    shown = np.zeros(6)
    original = ClassifierModule.loss

    def counting(self: Any, tensors: Any, *others: Any) -> Any:
        if self.training:
            shown[:] += np.bincount(tensors["labels"].numpy().ravel(), minlength=6)
        return original(self, tensors, *others)

    monkeypatch.setattr(ClassifierModule, "loss", counting)
    model = sims.tl.sims_train(path, "cell_type", stream=stream, sampling="balanced", **RUN | {"max_epochs": 1})
    assert shown.max() - shown.min() <= 2
    assert shown.sum() == (model.split_["split"] == "train").sum()
    assert model.training_["sampling"] == "balanced"


def test_genes_of_several_files_are_shown_through_their_panels(whole, tmp_path, small_buffers):
    whole[::2].copy().write_h5ad(tmp_path / "one.h5ad")
    whole[1::2, 20:].copy().write_zarr(tmp_path / "two.zarr")
    both = [tmp_path / "one.h5ad", tmp_path / "two.zarr"]
    model = sims.tl.sims_train(both, "cell_type", join="outer", stream=True, **RUN | {"max_epochs": 8})
    assert model.references_["n_missing"] == [0, 20]
    query = whole[::3].copy()
    sims.tl.annotate(query, model, progress_bar=False)
    assert (query.obs["sims"] == query.obs["cell_type"]).mean() > 0.8


def test_a_checkpoint_of_a_stream_goes_on_with_the_same_order(path, tmp_path, small_buffers):
    run = RUN | {"stream": True, "schedule": "constant"}
    straight = sims.tl.sims_train(path, "cell_type", **run | {"max_epochs": 2})

    class Killed(Exception):
        """What ends the first training."""

    from lightning.pytorch.callbacks import Callback

    class Kill(Callback):
        def on_train_batch_start(self, trainer: Any, plan: Any, *_: Any) -> None:
            if trainer.current_epoch == 1:
                raise Killed

    with pytest.raises(Killed):
        sims.tl.sims_train(path, "cell_type", checkpoint=tmp_path / "kept", callbacks=Kill(), **run | {"max_epochs": 2})
    resumed = sims.tl.sims_train(path, "cell_type", checkpoint=tmp_path / "kept", **run | {"max_epochs": 2})
    assert same(straight, resumed)


def test_what_cannot_be_streamed_is_said(whole, path, tmp_path, planted_cite):
    with pytest.raises(ValueError, match="must be True, False or 'auto'"):
        sims.tl.sims_train(path, "cell_type", stream="yes", **RUN)
    with pytest.raises(ValueError, match="MuData cannot be streamed"):
        sims.tl.sims_train(planted_cite, "cell_type", stream=True, **RUN)
    by_column = whole.copy()
    by_column.X = by_column.X.tocsc()
    by_column.write_h5ad(tmp_path / "csc.h5ad")
    with pytest.raises(ValueError, match="'csc' holds a CSC matrix"):
        sims.tl.sims_train(tmp_path / "csc.h5ad", "cell_type", stream=True, **RUN)
    with pytest.raises(KeyError, match="split_by='batch'` is not a column"):
        sims.tl.sims_train(path, "cell_type", stream=True, split_by="batch", **RUN)
    one = whole[whole.obs["cell_type"] == "type_0"].copy()
    one.write_h5ad(tmp_path / "one.h5ad")
    with pytest.raises(ValueError, match="only 'type_0'"):
        sims.tl.sims_train(tmp_path / "one.h5ad", "cell_type", stream=True, **RUN)
    whole[:0].copy().write_h5ad(tmp_path / "none.h5ad")
    with pytest.raises(ValueError, match="empty"):
        sims.tl.sims_train(tmp_path / "none.h5ad", "cell_type", stream=True, **RUN)
    other = whole.copy()
    other.var_names = [f"other_{i}" for i in range(80)]
    other.write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(ValueError, match="no gene in common"):
        sims.tl.sims_train([path, tmp_path / "other.h5ad"], "cell_type", stream=True, **RUN)


def test_a_file_that_changes_between_epochs_stops_the_training(whole, tmp_path):
    from lightning.pytorch.callbacks import Callback

    path = tmp_path / "cells.h5ad"
    whole.write_h5ad(path)

    class Meddler(Callback):
        def on_train_epoch_end(self, trainer: Any, plan: Any) -> None:
            content = path.read_bytes()
            path.unlink()
            path.write_bytes(content)

    with pytest.raises(RuntimeError, match="was changed while it was read"):
        sims.tl.sims_train(path, "cell_type", stream=True, callbacks=Meddler(), **RUN)
