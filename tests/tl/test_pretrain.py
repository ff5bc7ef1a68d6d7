"""`tl.pretrain`, and `init_from=` of what trains after it."""

from __future__ import annotations

from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from scipy import sparse

import sims_tools as sims

RUN: dict[str, Any] = {"n_d": 4, "n_a": 4, "n_steps": 2, "batch_size": 64, "progress_bar": False}


@pytest.fixture(scope="module")
def encoder(planted: ad.AnnData) -> Any:
    """Trained on the planted cells without their labels."""
    return sims.tl.pretrain(planted.copy(), max_epochs=8, **RUN)


def weights(model: Any) -> list[torch.Tensor]:
    return list(model.module.state_dict().values())


def test_it_learns_and_leaves_the_cells_alone(cells, dress, snapshot, changes):
    cells = dress(cells)
    before = snapshot(cells)
    model = sims.tl.pretrain(cells, max_epochs=30, validation_size=0.2, **RUN)
    assert changes(before, snapshot(cells)) == set()
    history = model.history_by_epoch
    assert set(history) == {"epoch", "train_loss", "validation_loss"}
    assert model.metrics["validation_loss"] == pytest.approx(history["validation_loss"].min())
    assert model.metrics["validation_loss"] < 0.97  # 1 is what the mean of each gene would give
    assert model.adata is None
    assert repr(model) == "PretrainedSIMS model: 60 genes, 1 encoders, trained"


def test_early_stopping_and_a_run_without_validation(cells):
    model = sims.tl.pretrain(cells, max_epochs=30, patience=2, learning_rate=1e-6, **RUN)
    assert len(model.history_by_epoch["epoch"]) < 30
    model = sims.tl.pretrain(cells, max_epochs=2, validation_size=0, **RUN)
    assert set(model.history_by_epoch) == {"epoch", "train_loss"}


def test_the_same_seed_gives_the_same_bits_and_leaves_no_trace(cells, encoder):
    state = torch.random.get_rng_state()
    again = sims.tl.pretrain(cells, max_epochs=8, **RUN)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(weights(encoder), weights(again), strict=True))
    other = sims.tl.pretrain(cells, max_epochs=8, random_state=1, **RUN)
    assert not all(torch.equal(a, b) for a, b in zip(weights(encoder), weights(other), strict=True))


def test_labels_are_not_looked_at_and_storage_does_not_matter(cells, encoder, tmp_path):
    del cells.obs["cell_type"]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    counts = cells.X
    of_layer = ad.AnnData(np.zeros(cells.shape, np.float32), obs=cells.obs, var=cells.var, layers={"counts": counts})
    wider = ad.concat([cells, cells[:5]], index_unique="-")
    dask = pytest.importorskip("dask.array")
    lazy = dask.from_array(counts.toarray(), chunks=(70, cells.n_vars))
    ways = {
        "dask": (ad.AnnData(lazy, obs=cells.obs, var=cells.var), {}),
        "backed": (ad.read_h5ad(tmp_path / "cells.h5ad", backed="r"), {}),
        "dense": (ad.AnnData(counts.toarray(), obs=cells.obs, var=cells.var), {}),
        "layer": (of_layer, {"layer": "counts"}),
        "view": (wider[: cells.n_obs], {}),
    }
    for name, (each, reading) in ways.items():
        found = sims.tl.pretrain(each, max_epochs=8, **reading, **RUN)
        assert all(torch.allclose(a, b) for a, b in zip(weights(encoder), weights(found), strict=True)), name


def test_an_interrupted_run_keeps_the_model_so_far(cells, tmp_path):
    class Break(Callback):
        def on_train_epoch_start(self, trainer: Any, *_: Any) -> None:
            if trainer.current_epoch == 2:
                raise KeyboardInterrupt

    model = sims.tl.pretrain(cells, max_epochs=50, callbacks=[Break()], **RUN)
    assert model.was_interrupted_
    assert len(model.history_by_epoch["epoch"]) == 2
    model.save(tmp_path / "encoder")
    assert sims.models.load(tmp_path / "encoder").was_interrupted_


def test_presets_have_their_networks(cells):
    model = sims.tl.pretrain(cells, preset="sims", max_epochs=1, n_top_genes=30, progress_bar=False)
    assert len(model.genes) == 30
    assert model.params_["network"]["selector"] == "sparsemax"
    variance = np.log1p(cells.X.toarray() / cells.X.sum(1) * 1e4).var(0)
    assert set(model.genes) == set(cells.var_names[np.argsort(-np.asarray(variance).ravel())[:30]])
    trained = sims.tl.sims_train(cells, "cell_type", init_from=model, max_epochs=1, progress_bar=False)
    assert trained.params_["preset"] == "sims"


def test_a_saved_encoder_is_the_same(encoder, cells, tmp_path):
    encoder.save(tmp_path / "encoder")
    before = [each.clone() for each in weights(encoder)]
    loaded = sims.models.load(tmp_path / "encoder")
    assert type(loaded) is sims.models.PretrainedSIMS
    assert (loaded.genes_, loaded.params_, loaded.training_) == (encoder.genes_, encoder.params_, encoder.training_)
    assert all(torch.equal(a, b) for a, b in zip(weights(encoder), weights(loaded), strict=True))
    assert loaded.metrics == encoder.metrics
    found = [
        sims.tl.sims_train(cells.copy(), "cell_type", init_from=each, max_epochs=1, n_members=2, progress_bar=False)
        for each in (encoder, tmp_path / "encoder")
    ]
    assert all(torch.equal(a, b) for a, b in zip(weights(found[0]), weights(found[1]), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights(encoder), before, strict=True))  # it is only read
    with pytest.raises(TypeError, match="PretrainedSIMS"):
        sims.tl.annotate(cells, tmp_path / "encoder")


def test_a_classifier_starts_from_the_encoder(encoder, cells):
    model = sims.tl.sims_train(
        cells, "cell_type", init_from=encoder, max_epochs=1, learning_rate=1e-9, weight_decay=0.0, weight_average=0.0,
        n_members=2, progress_bar=False,
    )  # fmt: skip
    assert model.params_["network"]["n_d"] == 4
    old = encoder.networks[0].state_dict()
    for each in model.networks:
        for name, value in each.named_parameters():
            if name != "head.weight":
                torch.testing.assert_close(value.detach(), old[name], rtol=0, atol=1e-6)
    assert cells.uns["sims"]["params"]["init_from"]["model"] == "pretrained_sims"
    sims.tl.annotate(cells, model, progress_bar=False)


def test_a_classifier_is_trained_further_on_other_genes_and_classes(model, cells, tmp_path):
    new = cells[:, ::-1][:, :50].copy()
    new.obs["cell_type"] = new.obs["cell_type"].astype(str).replace({"type_0": "other"})
    trained = sims.tl.sims_train(new, "cell_type", init_from=model, max_epochs=1, progress_bar=False)
    assert list(trained.classes) == ["other", "type_1", "type_2"]
    assert set(trained.genes) == set(new.var_names)
    assert trained.params_["n_members"] == 1
    assert trained.params_["network"] == model.params_["network"]
    trained.save(tmp_path / "model")
    assert sims.models.load(tmp_path / "model").init_from_ == trained.init_from_
    sims.tl.annotate(new, trained, progress_bar=False)
    known = new.obs["cell_type"] != "other"
    assert (new.obs["sims"].astype(str) == new.obs["cell_type"])[known].mean() > 0.8


def test_known_genes_are_kept_and_others_fill_the_room(model, cells):
    """The model's genes are half of those here; markers lead the rest."""
    source = sims.tl.sims_train(cells[:, :30].copy(), "cell_type", max_epochs=1, **RUN)
    for n_top, n in ((20, 30), (40, 40), (None, 60), ("preset", 60)):
        trained = sims.tl.sims_train(
            cells.copy(), "cell_type", init_from=source, n_top_genes=n_top, max_epochs=1, progress_bar=False
        )
        assert len(trained.genes) == n
        assert set(source.genes) <= set(trained.genes)
        assert trained.init_from_["n_shared_genes"] == 30


def test_bad_input_is_refused_before_anything_is_trained(model, encoder, cells, tmp_path):
    def start(**params: Any) -> None:
        sims.tl.sims_train(cells, "cell_type", max_epochs=1, progress_bar=False, **params)

    with pytest.raises(FileNotFoundError, match="no model folder"):
        start(init_from=tmp_path / "nowhere")
    with pytest.raises(TypeError, match=r"`init_from` is a int"):
        start(init_from=3)
    with pytest.raises(ValueError, match=r"do not fit.*`n_d=4`, not 5"):
        start(init_from=encoder, n_d=5)
    assert "sims" not in cells.uns
    for value, message in ((np.nan, "NaN"), (-1.0, "negative")):
        bad = cells.copy()
        bad.X = bad.X.toarray()
        bad.X[3, 5] = value
        with pytest.raises(ValueError, match=message):
            sims.tl.pretrain(bad, **RUN)
    with pytest.raises(ValueError, match="not unique"):
        sims.tl.pretrain(ad.AnnData(cells.X, var=pd.DataFrame(index=["a"] * cells.n_vars)), **RUN)
    with pytest.raises(ValueError, match="1 of 2 cells have counts"):
        sims.tl.pretrain(ad.AnnData(sparse.csr_matrix([[1.0, 2.0], [0.0, 0.0]])), **RUN)
    with pytest.raises(TypeError, match="MuData"):
        sims.tl.pretrain(mudata.MuData({"rna": cells}), **RUN)
    with pytest.raises(TypeError, match="is not a parameter"):
        sims.tl.pretrain(cells, n_dd=3)
    for ratio in (0, 1, 1.5):
        with pytest.raises(ValueError, match="pretraining_ratio"):
            sims.tl.pretrain(cells, pretraining_ratio=ratio, **RUN)
