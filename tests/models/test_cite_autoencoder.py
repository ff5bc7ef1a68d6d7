"""`models.CITEAutoencoder`: set up, trained, saved and asked as a scvi-tools model."""

from __future__ import annotations

import json
import logging
from typing import Any

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import nn

import sims_tools as sims
from sims_tools.data._clr import clr
from sims_tools.models._cite_module import Scaler
from sims_tools.models._cite_training import PUBLISHED

CITE = sims.models.CITEAutoencoder
RUN = {"batch_size": 32, "progress_bar": False}


def built(mdata: Any, params: dict[str, Any] | None = None, **setup: Any) -> Any:
    CITE.setup_mudata(mdata, **setup)
    return CITE(mdata, **(params or {}))


@pytest.fixture
def scaled(cite: Any) -> Any:
    """Values as the tutorial has them: normalised, centred and scaled before."""
    counts = cite["rna"].X.toarray()
    rna = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
    for name, values in (("rna", rna), ("protein", clr(cite["protein"].X))):
        cite[name].X = np.minimum((values - values.mean(0)) / values.std(0), 10).astype(np.float32)
    return cite


# --- the tutorial -----------------------------------------------------------------------------------------------------


def test_the_recipe_is_that_of_the_tutorial():
    assert (PUBLISHED.optimizer, PUBLISHED.learning_rate, PUBLISHED.weight_decay) == ("Adam", 0.1, 0.0)
    assert (PUBLISHED.schedule, PUBLISHED.lr_factor, PUBLISHED.lr_patience) == ("plateau", 0.1, 10)
    assert (PUBLISHED.batch_size, PUBLISHED.monitored, PUBLISHED.restore_best) == (
        256,
        ("validation_loss", "min"),
        True,
    )
    assert (PUBLISHED.patience, PUBLISHED.gradient_clip, PUBLISHED.weight_average) == (0, 0.0, 0.0)


def test_scaled_values_go_into_the_published_network_as_they_are(scaled):
    model = built(scaled)
    model.train(2, **RUN)
    network = model.module.network.eval()
    widths = [each.weight.shape for each in network.modules() if isinstance(each, nn.Linear)]
    assert widths == [(20, 40), (30, 20), (18, 6), (24, 48), (48, 24), (23, 48), (46, 23)]
    rna, protein = (torch.from_numpy(scaled[name].X) for name in ("rna", "protein"))
    with torch.no_grad():
        output = network(rna, protein)
    np.testing.assert_allclose(model.get_latent_representation(), output.latent, atol=1e-6)
    whole = torch.cat([rna, protein], 1)
    error = model.get_reconstruction_error()
    assert error["mse"] == pytest.approx(float(((output.reconstruction - whole) ** 2).mean()), rel=1e-5)
    assert error["rna_mse"] == pytest.approx(float(((output.reconstruction[:, :40] - rna) ** 2).mean()), rel=1e-5)


def test_counts_are_brought_to_where_the_tutorial_starts(cite):
    model = built(cite)
    model.train(1, **RUN)
    counts, train = cite["rna"].X.toarray(), model.train_indices
    for values, scaler, raw in (
        (np.log1p(counts / counts.sum(1, keepdims=True) * 1e4), model.module.scale_rna, counts),
        (clr(cite["protein"].X), model.module.scale_protein, cite["protein"].X),
    ):
        assert scaler.standardize
        found = scaler(torch.from_numpy(values).float()).numpy()
        varies = raw[train].std(0) > 0
        expected = (values - values[train].mean(0)) / np.where(varies, values[train].std(0), np.inf)
        np.testing.assert_allclose(found, np.minimum(expected, 10), atol=1e-3)


def test_the_split(cite):
    model = built(cite)
    model.train(1, **RUN)
    parts = model.train_indices, model.validation_indices, model.test_indices
    assert [len(part) for part in parts] == [140, 30, 30]
    assert len(np.unique(np.concatenate(parts))) == 200
    split = np.arange(100), np.arange(100, 110), np.arange(150, 153)
    model.train(1, split=split, **RUN)
    for given, used in zip(split, (model.train_indices, model.validation_indices, model.test_indices), strict=True):
        np.testing.assert_array_equal(used, given)
    assert set(model.reconstruction_error) == {"train", "validation", "test"}
    model.train(1, train_size=1.0, validation_size=0.0, **RUN)
    assert set(model.reconstruction_error) == {"train"}


# --- what it learns ---------------------------------------------------------------------------------------------------


def test_it_reconstructs_what_is_of_few_dimensions(cite):
    """Values that three hidden numbers make up: of cells it has not seen, too, little is lost."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 3))
    for name, n_features in (("rna", 40), ("protein", 6)):
        values = hidden @ rng.normal(size=(3, n_features))
        cite[name].X = (values / values.std(0)).astype(np.float32)
    model = built(cite, {"dropout": 0.0})
    model.train(60, **RUN)
    test = model.reconstruction_error["test"]
    assert test["rna_mse"] < 0.1
    assert test["protein_mse"] < 0.1


def test_cells_of_a_class_are_neighbours_in_the_latent_space(cite_model, cite):
    latent = cite_model.get_latent_representation(cite)
    codes = cite["rna"].obs["cell_type"].cat.codes.to_numpy()
    test = cite_model.test_indices
    distances = ((latent[test, None] - latent[None]) ** 2).sum(-1)
    distances[np.arange(len(test)), test] = np.inf
    assert (codes[distances.argmin(1)] == codes[test]).mean() > 0.95


def test_the_classifier_knows_cells_it_was_not_trained_on(cite_model, cite):
    labels = cite["rna"].obs["cell_type"].astype(str).to_numpy()
    test = cite_model.test_indices
    assert (cite_model.predict(cite)[test] == labels[test]).mean() > 0.95
    soft = cite_model.predict(cite, soft=True)
    assert list(soft.columns) == ["type_0", "type_1", "type_2"]
    assert list(soft.index) == list(cite.obs_names)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(soft.columns.to_numpy()[soft.to_numpy().argmax(1)], cite_model.predict(cite))


def test_cells_without_a_label_train_the_autoencoder_alone(cite):
    labels = cite["rna"].obs["cell_type"].astype(str).to_numpy()
    cite.obs["partly"] = np.where(np.arange(200) % 4 == 0, labels, "Unknown")
    model = built(cite, labels_key="partly")
    model.train(15, **RUN)
    assert sorted(model.classes) == ["type_0", "type_1", "type_2"]
    assert (model.predict() == labels).mean() > 0.9
    cite.obs["few"] = ["a", "b"] + ["Unknown"] * 198
    model = built(cite, labels_key="few")
    with pytest.raises(ValueError, match="No training cell carries a label"):
        model.train(1, split=(np.arange(2, 50), np.arange(2), np.arange(0)), **RUN)


def test_weights_of_the_modalities(cite):
    """Each weighs as often as its features unless told otherwise; a weight of zero leaves a modality out."""
    model = built(cite)
    assert model.module.weights == (40.0, 6.0)
    model.train(3, **RUN)
    for part in model.reconstruction_error.values():
        assert part["mse"] == pytest.approx((40 * part["rna_mse"] + 6 * part["protein_mse"]) / 46)
    losses = {}
    for weights in ({"rna": 1, "protein": 0}, {"rna": 0, "protein": 1}):
        model = CITE(cite, modality_weights=weights)
        model.train(15, **RUN)
        losses[weights["rna"]] = model.get_reconstruction_error()
    assert losses[1]["rna_mse"] < losses[0]["rna_mse"]
    assert losses[0]["protein_mse"] < losses[1]["protein_mse"]
    for wrong in ({"rna": 1}, {"rna": -1, "protein": 1}, {"rna": 0, "protein": 0}, {"rna": np.nan, "protein": 1}):
        with pytest.raises(ValueError, match="`modality_weights="):
            CITE(cite, modality_weights=wrong)


def test_history_and_the_best_weights(cite):
    model = built(cite, labels_key="cell_type")
    model.train(12, **RUN)
    history = model.history_by_epoch
    tracked = {"loss", "rna_mse", "protein_mse", "classification_loss", "accuracy", "macro_f1"}
    for name in tracked:
        for mode in ("train", "validation"):
            key = f"{mode}_loss" if name == "loss" else f"{name}_{mode}"
            assert history[key].shape == (12,)
            assert np.isfinite(history[key]).all()
    assert model.best_epoch_ == history["validation_loss"].argmin()
    best = {name: history[f"{name}_validation"][model.best_epoch_] for name in ("rna_mse", "protein_mse")}
    assert model.reconstruction_error["validation"]["rna_mse"] == pytest.approx(best["rna_mse"], rel=1e-4)
    assert model.reconstruction_error["validation"]["protein_mse"] == pytest.approx(best["protein_mse"], rel=1e-4)
    plain = built(cite.copy())
    plain.train(1, **RUN)
    assert not [name for name in plain.history_by_epoch if "accuracy" in name or "classification" in name]
    with pytest.raises(RuntimeError, match="no classifier; name the labels"):
        plain.predict()


def test_the_learning_rate_falls_on_a_plateau(cite, tmp_path):
    model = built(cite)
    rates: list[float] = []

    from lightning.pytorch.callbacks import Callback

    class Watch(Callback):
        def on_train_epoch_start(self, trainer: Any, plan: Any) -> None:
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    logger = CSVLogger(tmp_path)
    model.train(25, lr_patience=1, callbacks=Watch(), logger=logger, **RUN)
    steps = np.log10(np.array(rates) / 0.1)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)
    assert steps[0] == 0
    assert (np.diff(steps) <= 0).all()
    assert steps[-1] < -0.5
    assert (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").is_file()


# --- the same again ---------------------------------------------------------------------------------------------------


def test_seeds(cite):
    def weights(seed: int) -> dict[str, torch.Tensor]:
        model = CITE(cite, random_state=seed)
        model.train(2, **RUN)
        return {**model.module.state_dict(), "train": torch.from_numpy(model.train_indices)}

    CITE.setup_mudata(cite)
    state = torch.random.get_rng_state()
    first, second, third = weights(1), weights(1), weights(2)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["network.encoder.0.weight"], third["network.encoder.0.weight"])
    assert not torch.equal(first["train"], third["train"])


def test_it_is_saved_and_loaded_as_it_is(cite_model, cite, tmp_path):
    cite_model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    assert type(loaded) is CITE
    np.testing.assert_array_equal(loaded.get_latent_representation(cite), cite_model.get_latent_representation(cite))
    np.testing.assert_array_equal(loaded.predict(cite, soft=True), cite_model.predict(cite, soft=True))
    assert loaded.get_reconstruction_error(cite) == cite_model.get_reconstruction_error(cite)
    assert repr(loaded) == repr(cite_model) == ("CITEAutoencoder model: 40 genes, 6 proteins, 3 classes, trained")
    for name in ("params_", "forms_", "best_epoch_", "training_", "classes_"):
        assert getattr(loaded, name) == getattr(cite_model, name)
    assert loaded.reconstruction_error == cite_model.reconstruction_error
    for name, values in cite_model.history_by_epoch.items():
        np.testing.assert_array_equal(loaded.history_by_epoch[name], values)
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"model.json", "weights.safetensors"}
    header = json.loads((tmp_path / "model" / "model.json").read_text())
    assert header["proteins"] == [f"ADT_{i}" for i in range(6)]
    assert header["forms"] == {"rna": "counts", "protein": "counts"}
    loaded.save(tmp_path / "again")
    again = CITE.load(tmp_path / "again", adata=cite)
    np.testing.assert_array_equal(again.get_latent_representation(), cite_model.get_latent_representation(cite))


def test_names_of_both_modalities_are_kept(cite, tmp_path):
    named = mudata.MuData({"gex": cite["rna"], "adt": cite["protein"]})
    model = built(named, modalities={"rna": "gex", "protein": "adt"})
    expected = {"gex": list(named["gex"].var_names), "adt": list(named["adt"].var_names)}
    assert {name: list(names) for name, names in model.get_var_names().items()} == expected
    model.train(1, **RUN)
    model.save(tmp_path / "model")
    loaded = CITE.load(tmp_path / "model")
    assert {name: list(names) for name, names in loaded.get_var_names().items()} == expected
    loaded.save(tmp_path / "again")
    assert {name: list(names) for name, names in CITE.load(tmp_path / "again").get_var_names().items()} == expected
    assert loaded.get_latent_representation(named).shape == (200, 24)


def test_a_folder_of_another_model_is_refused(folder, cite_model, tmp_path):
    with pytest.raises(ValueError, match=r"holds a 'sims' model, not 'cite_autoencoder'"):
        CITE.load(folder)
    cite_model.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"holds a 'cite_autoencoder' model, not 'sims'"):
        sims.models.SIMS.load(tmp_path / "model")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        cite_model.save(tmp_path / "model")


def test_it_is_none_of_the_classifiers():
    assert CITE.name not in sims.models.available().index


# --- other cells ------------------------------------------------------------------------------------------------------


def test_proteins_in_obsm_make_the_same_model(cite, as_anndata):
    adata = as_anndata(cite)
    CITE.setup_anndata(adata, protein_obsm_key="adt", labels_key="cell_type")
    models = [CITE(adata), built(cite, labels_key="cell_type")]
    for model in models:
        model.train(2, **RUN)
    np.testing.assert_array_equal(*(model.get_latent_representation() for model in models))
    np.testing.assert_array_equal(
        models[0].get_latent_representation(cite), models[1].get_latent_representation(adata, protein_obsm_key="adt")
    )


def test_features_are_matched_by_name_and_cells_stay_in_order(cite_model, cite, caplog):
    expected = cite_model.get_latent_representation(cite)
    rng = np.random.default_rng(0)
    cells = rng.permutation(200)
    mixed = mudata.MuData(
        {
            "rna": cite["rna"][:, rng.permutation(40)].copy(),
            "protein": cite["protein"][cells][:, rng.permutation(6)].copy(),
        }
    )
    np.testing.assert_allclose(cite_model.get_latent_representation(mixed), expected, atol=1e-5)
    some = cite[cells[:20]]
    np.testing.assert_allclose(cite_model.get_latent_representation(some), expected[cells[:20]], atol=1e-5)
    with caplog.at_level(logging.INFO, "sims_tools"):
        fewer = mudata.MuData({"rna": cite["rna"], "protein": cite["protein"][:, :5].copy()})
        latent = cite_model.get_latent_representation(fewer)
    assert "protein" in caplog.text
    assert "'ADT_5'" in caplog.text
    assert np.isfinite(latent).all()


def test_a_missing_protein_is_the_average_one():
    scaler = Scaler(3, standardize=True)
    scaler.fit(np.array([1.0, 5.0, 2.0]), np.array([2.0, 0.0, 1.0]))
    x = torch.tensor([[3.0, 9.0, np.nan], [np.nan, np.nan, 50.0]])
    np.testing.assert_array_equal(scaler(x), [[1, 0, 0], [0, 0, 10]])
    plain = Scaler(2, standardize=False)
    np.testing.assert_array_equal(plain(torch.tensor([[np.nan, 300.0]])), [[0, 300]])


def test_a_constant_feature_is_silent(cite):
    cite["rna"].X = np.asarray(cite["rna"].X.toarray())
    cite["rna"].X[:, 3] = 0
    cite["protein"].X[:, 2] = 0
    model = built(cite)
    model.train(2, **RUN)
    assert model.module.scale_rna.scale[3] == 0
    assert model.module.scale_protein.scale[2] == 0
    assert (model.module.scale_rna.scale > 0).sum() == 39
    assert (model.module.scale_protein.scale > 0).sum() == 5
    assert np.isfinite(model.get_latent_representation()).all()


def test_many_missing_features_warn_and_all_missing_are_refused(cite_model, cite):
    few = mudata.MuData({"rna": cite["rna"], "protein": cite["protein"][:, :3].copy()})
    with pytest.warns(UserWarning, match=r"3 of the model's 6 proteins are in the query; missing: 'ADT_3'"):
        cite_model.get_latent_representation(few)
    cite["protein"].var_names = [f"other_{i}" for i in range(6)]
    with pytest.raises(ValueError, match=r"protein: 0 of the model's 6 proteins.*'ADT_0'"):
        cite_model.get_latent_representation(cite)


def test_values_of_another_form_are_refused(cite_model, cite, scaled):
    with pytest.raises(ValueError, match="rna: the values look scaled"):
        cite_model.get_latent_representation(scaled)
    model = built(scaled)
    model.train(1, **RUN)
    assert model.get_latent_representation().shape == (200, 24)
    counts = scaled.copy()
    counts["protein"].X = np.ones((200, 6))
    with pytest.raises(ValueError, match="protein: the values look like counts"):
        model.get_latent_representation(counts)
    as_they_are = model.get_latent_representation(counts, protein_kind="scaled")
    assert as_they_are.shape == (200, 24)


def test_layers_of_the_models_own_cells_are_remembered(cite):
    for part in cite.mod.values():
        part.layers["counts"] = part.X.copy()
        part.X = np.full(part.shape, np.nan, dtype=np.float32)
    model = built(cite, rna_layer="counts", protein_layer="counts")
    model.train(1, **RUN)
    own = model.get_latent_representation()
    np.testing.assert_array_equal(model.get_latent_representation(cite), own)
    query = cite.copy()
    with pytest.raises(ValueError, match="rna: .*NaN"):
        model.get_latent_representation(query)
    found = model.get_latent_representation(query, rna_layer="counts", protein_layer="counts")
    np.testing.assert_array_equal(found, own)


def test_genes_may_be_chosen_while_totals_are_of_all(cite):
    chosen = np.arange(40) % 2 == 0
    cite["rna"].var["highly_variable"] = chosen
    model = built(cite, mask_var="highly_variable")
    assert list(model.genes) == list(cite["rna"].var_names[chosen])
    model.train(1, **RUN)
    counts = cite["rna"].X.toarray()
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)[model.train_indices][:, chosen].mean(0)
    np.testing.assert_allclose(model.module.scale_rna.center, expected, rtol=1e-4)
    del cite["rna"].var["highly_variable"]
    assert model.get_latent_representation().shape == (200, 24)
    for column, message in (
        ("no", "not a column of the RNA's"),
        ("text", "has to be True"),
        ("none", "has to be True"),
    ):
        cite["rna"].var["text"], cite["rna"].var["none"] = "a", False
        with pytest.raises((KeyError, ValueError), match=message):
            CITE.setup_mudata(cite, mask_var=column)


# --- setting up -------------------------------------------------------------------------------------------------------


def test_labels_in_either_place(cite):
    labels = cite["rna"].obs["cell_type"].astype(str)
    cite.obs["whole"] = labels
    cite["protein"].obs["of_protein"] = labels
    mixed = mudata.MuData({"rna": cite["rna"], "protein": cite["protein"][::-1].copy()})
    mixed.obs["whole"] = labels
    for key in ("whole", "of_protein", "cell_type"):
        model = built(mixed, labels_key=key)
        np.testing.assert_array_equal(model.classes[model._own_labels()], labels)


@pytest.mark.parametrize(
    ("setup", "message"),
    [
        ({"labels_key": "nowhere"}, "`labels_key='nowhere'` is not a column"),
        ({"labels_key": "one"}, "a classifier needs at least two"),
        ({"labels_key": "nan"}, "holds NaN"),
        ({"modalities": {"rna": "rna", "protein": "adt"}}, "='adt'` is not in `mdata.mod`"),
        ({"protein_layer": "counts"}, "protein: `layer='counts'`"),
        ({"rna_kind": "raw"}, "`rna_kind='raw'`"),
    ],
)
def test_what_cannot_be_set_up_is_left_as_it_was(cite, snapshot, changes, setup, message):
    cite["rna"].obs["one"] = "a"
    cite["rna"].obs["nan"] = np.where(np.arange(200) < 5, None, "a")
    before = {name: snapshot(part) for name, part in cite.mod.items()}
    with pytest.raises((KeyError, ValueError), match=message):
        CITE.setup_mudata(cite, **setup)
    assert all(changes(before[name], snapshot(part)) == set() for name, part in cite.mod.items())
    assert not cite.uns


def test_a_copy_of_a_view_is_set_up_not_the_view(cite, as_anndata):
    view = cite[:100]
    with pytest.raises(ValueError, match=r"a view, which scvi-tools cannot register; set up a copy"):
        CITE.setup_mudata(view)
    with pytest.raises(ValueError, match=r"a view, which scvi-tools cannot register; set up a copy"):
        CITE.setup_anndata(as_anndata(cite)[:100], "adt")
    assert view.is_view
    model = built(view.copy())
    model.train(1, **RUN)
    assert model.get_latent_representation().shape == (100, 24)
    assert not cite.uns


def test_too_few_cells_and_bad_settings(cite):
    model = built(cite)
    with pytest.raises(ValueError, match="1 training cells among 200; batch norm needs two"):
        model.train(1, split=(np.arange(1), np.arange(2, 5), np.arange(5, 9)), **RUN)
    with pytest.raises(TypeError, match="'learning_rat' is not a training setting"):
        model.train(1, learning_rat=1, **RUN)
    with pytest.raises(ValueError, match="make more than 1"):
        model.train(1, train_size=0.9, validation_size=0.5, **RUN)
    with pytest.raises(TypeError, match="'rna_layr' is not a way to read cells"):
        model.read_cells(cite, rna_layr="counts")
    with pytest.raises(RuntimeError, match="not trained yet"):
        model.get_latent_representation()
    with pytest.raises(RuntimeError, match="nothing to save"):
        model.save("nowhere")
    assert not model.is_trained_


def test_a_loaded_model_holds_no_cells(cite_model, tmp_path):
    cite_model.save(tmp_path / "model")
    loaded = CITE.load(tmp_path / "model")
    with pytest.raises(ValueError, match=r"holds no cells \(it was loaded\); pass `adata`"):
        loaded.get_latent_representation()
    with pytest.raises(ValueError, match="holds no cells to train on"):
        loaded.train(1)


def test_what_diverges_is_said(cite):
    model = built(cite)
    with pytest.raises(FloatingPointError, match="Training diverged"):
        model.train(3, learning_rate=1e30, **RUN)
    assert not model.is_trained_


def test_a_huge_network_is_told_of(caplog):
    from sims_tools.models._cite_params import warn_of_size

    with caplog.at_level(logging.WARNING, "sims_tools"):
        warn_of_size(2000, 25)
        assert not caplog.records
        warn_of_size(20_000, 25)
    assert "mask_var='highly_variable'" in caplog.text


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_on_a_gpu(cite, tmp_path):
    model = built(cite, labels_key="cell_type")
    model.train(2, accelerator="gpu", **RUN)
    assert next(model.module.parameters()).is_cuda
    latent = model.get_latent_representation()
    model.save(tmp_path / "model")
    loaded = CITE.load(tmp_path / "model", accelerator="cpu")
    np.testing.assert_allclose(loaded.get_latent_representation(cite), latent, atol=1e-3)


def test_a_dataframe_is_not_copied_into_the_model(cite, as_anndata):
    adata: ad.AnnData = as_anndata(cite)
    before = adata.obsm["adt"].copy()
    CITE.setup_anndata(adata, "adt")
    CITE(adata).train(1, **RUN)
    pd.testing.assert_frame_equal(adata.obsm["adt"], before)
