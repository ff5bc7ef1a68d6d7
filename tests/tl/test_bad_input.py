"""Bad input: what is raised says what was found and what to do, and the object is as it was."""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims

QUIET = {"progress_bar": False}
Refuse = Callable[..., str]


@pytest.fixture
def refuse(snapshot: Any, changes: Any) -> Refuse:
    """Run a call that must fail; the object stays as it was. Returns the message."""

    def refused(call: Callable[[], Any], adata: ad.AnnData, error: type[Exception], *words: str) -> str:
        before, was_view = snapshot(adata), adata.is_view
        with pytest.raises(error) as caught:
            call()
        assert changes(before, snapshot(adata)) == set()
        assert adata.is_view == was_view
        message = str(caught.value)
        for word in words:
            assert re.search(word, message), f"{word!r} is not in the message: {message}"
        return message

    return refused


@pytest.fixture
def training(refuse: Refuse, small: dict[str, Any]) -> Refuse:
    def refused(
        adata: ad.AnnData, error: type[Exception], *words: str, labels_key: str = "cell_type", **options: Any
    ) -> str:
        def call() -> None:
            sims.tl.sims_train(adata, labels_key, **{"max_epochs": 1} | small | options)

        return refuse(call, adata, error, *words)

    return refused


@pytest.fixture
def annotating(refuse: Refuse, model: Any) -> Refuse:
    def refused(adata: ad.AnnData, error: type[Exception], *words: str, using: Any = model, **options: Any) -> str:
        return refuse(lambda: sims.tl.annotate(adata, using, **QUIET, **options), adata, error, *words)

    return refused


# --- labels -----------------------------------------------------------------------------------------------------------


def test_missing_label_column(cells, training):
    training(cells, KeyError, "celltype", "labels_key", "donor", "Did you mean 'cell_type'", labels_key="celltype")


@pytest.mark.parametrize("labels", [["T cell"] * 200, ["T cell"] * 199 + [None], ["T cell"] * 100 + ["Unknown"] * 100])
def test_a_single_class(cells, training, labels):
    cells.obs["label"] = pd.Categorical(labels)
    training(cells, ValueError, "'label'", "T cell", "two classes", "unlabeled_category", labels_key="label")


@pytest.mark.parametrize("label", [np.nan, None, "Unknown"])
def test_no_label_at_all(cells, training, label):
    cells.obs["label"] = pd.Series([label] * 200, index=cells.obs_names, dtype=object)
    training(cells, ValueError, "'label'", "no label", labels_key="label")


def test_one_class_left_after_empty_cells_are_dropped(cells, training):
    counts = cells.X.toarray()
    counts[(cells.obs["cell_type"] != "type_0").to_numpy()] = 0
    cells.X = counts
    training(cells, ValueError, "type_0", "two classes")


def test_labels_that_read_the_same(cells, training):
    cells.obs["label"] = pd.Series([1, "1"] * 100, index=cells.obs_names, dtype=object)
    training(cells, ValueError, "'1'", "same", labels_key="label")


# --- size, values, names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns", "found"), [(0, 60, "0 cells"), (200, 0, "0 genes"), (0, 0, "0 cells")])
def test_no_cells_or_no_genes(cells, training, annotating, rows, columns, found):
    nothing = cells[:rows, :columns].copy()
    training(nothing, ValueError, found)
    annotating(nothing, ValueError, found)


def _set(value: float) -> Callable[[np.ndarray], None]:
    return lambda counts: counts.__setitem__((5, 7), value)


def _scale(counts: np.ndarray) -> None:
    counts -= counts.mean(0)
    counts /= counts.std(0)


BAD_VALUES = {
    "nan": (_set(np.nan), "NaN"),
    "inf": (_set(np.inf), "infinite"),
    "-inf": (_set(-np.inf), "NaN|infinite|negative"),
    "negative": (_set(-1.0), "negative"),
    "scaled": (_scale, "scaled"),
}


@pytest.mark.parametrize("kind", BAD_VALUES)
@pytest.mark.parametrize("storage", ["csr", "csc", "dense"])
@pytest.mark.parametrize("in_layer", [False, True])
def test_values_that_are_not_expression(cells, training, annotating, kind, storage, in_layer):
    spoil, word = BAD_VALUES[kind]
    counts = cells.X.toarray()
    spoil(counts)
    values = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}[storage](counts)
    options = {"layer": "bad"} if in_layer else {}
    if in_layer:
        cells.layers["bad"] = values
    else:
        cells.X = values
    training(cells, ValueError, word, "layer=", "raw", **options)
    annotating(cells, ValueError, word, "layer=", "raw", **options)


def test_a_bad_value_beyond_the_cells_that_are_looked_at_first(model, training, annotating):
    adata = sims.data.planted_cells(n_cells=1500, n_genes=60, n_classes=3)
    counts = adata.X.toarray()
    from sims_tools.data._blocks import sample_rows

    for row in range(1500):
        counts[row, 0] += 1e6 + row
    adata.X = counts
    looked_at = set(sample_rows(adata).toarray()[:, 0].astype(int).tolist())
    unseen = next(row for row in range(1499, 0, -1) if int(counts[row, 0]) not in looked_at)
    adata.X[unseen, 3] = np.nan
    training(adata, ValueError, "NaN")
    annotating(adata, ValueError, "NaN")


def test_values_that_are_no_numbers(cells, annotating):
    cells.layers["text"] = np.full(cells.shape, "a", dtype=object)
    annotating(cells, TypeError, "object", "numbers", layer="text")


def test_no_matrix(cells, training, annotating):
    cells.layers["counts"] = cells.X
    del cells.X
    training(cells, ValueError, "X", "layer=")
    annotating(cells, ValueError, "X", "layer=")


def test_missing_layer(cells, training, annotating):
    cells.layers["counts"] = cells.X
    training(cells, KeyError, "'raw_counts'", "'counts'", layer="raw_counts")
    annotating(cells, KeyError, "'raw_counts'", "'counts'", layer="raw_counts")


def test_repeated_gene_names(cells, training, annotating):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells.var_names = ["gene_0", "gene_0", *cells.var_names[2:]]
    training(cells, ValueError, "gene_0", "var_names_make_unique")
    annotating(cells, ValueError, "gene_0", "var_names_make_unique")


def test_an_unknown_kind_of_input(cells, training, annotating):
    training(cells, ValueError, "input_kind", "'cpm'", "counts", "log1p", input_kind="cpm")
    annotating(cells, ValueError, "input_kind", "'cpm'", "counts", "log1p", input_kind="cpm")


# --- genes of the query -----------------------------------------------------------------------------------------------


def test_no_shared_genes(cells, annotating):
    cells.var_names = [f"other_{i}" for i in range(60)]
    annotating(cells, ValueError, "0 of the model's 60 genes", "gene_0", "other_0", "names")


def test_nearly_no_shared_genes(cells, model, annotating):
    kept = int(np.argmin(model.gene_weights))
    cells.var_names = [name if i == kept else f"other_{i}" for i, name in enumerate(cells.var_names)]
    annotating(cells, ValueError, "1 of the model's 60 genes")


def test_ensembl_ids_against_symbols(cells, annotating):
    cells.var["symbol"] = cells.var_names
    cells.var_names = [f"ENSG{i:011d}" for i in range(60)]
    annotating(cells, ValueError, "Ensembl ids", "symbols", r"var\['symbol'\]")


def test_another_species(cells, annotating):
    cells.var_names = [name.upper() for name in cells.var_names]
    annotating(cells, ValueError, "upper and lower case|species")


# --- the model and the request ----------------------------------------------------------------------------------------


def _truncate(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])


DAMAGE = {
    "weights truncated": (lambda folder: _truncate(folder / "weights.safetensors"), ValueError, "weights.safetensors"),
    "weights missing": (lambda folder: (folder / "weights.safetensors").unlink(), FileNotFoundError, "weights"),
    "description truncated": (lambda folder: _truncate(folder / "model.json"), ValueError, "model.json"),
    "description missing": (lambda folder: (folder / "model.json").unlink(), FileNotFoundError, "model.json"),
    "class renamed": (
        lambda folder: (folder / "model.json").write_text((folder / "model.json").read_text().replace("type_1", "B")),
        ValueError,
        "edited|damaged",
    ),
    "folder missing": (shutil.rmtree, FileNotFoundError, "no model folder"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_model_folder_that_is_missing_truncated_or_tampered_with(cells, annotating, folder, tmp_path, damage):
    spoil, error, word = DAMAGE[damage]
    copy = shutil.copytree(folder, tmp_path / "model")
    spoil(copy)
    annotating(cells, error, word, "model", using=copy)


def test_a_model_of_a_future_format(cells, annotating, folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "model")
    header = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(header | {"format_version": 99}))
    annotating(cells, ValueError, "99", "Update sims-tools", using=copy)


@pytest.mark.parametrize("thing", [None, 3, {"classes": []}, sims.models])
def test_something_that_is_no_model(cells, annotating, thing):
    annotating(cells, TypeError, type(thing).__name__, "trained model", using=thing)


def test_a_model_that_is_not_trained(cells, annotating):
    other = cells.copy()
    sims.models.SIMS.setup_anndata(other, "cell_type")
    annotating(cells, RuntimeError, "train", using=sims.models.SIMS(other, n_d=2, n_a=2))


BAD_REQUESTS = {
    "classes unknown": ({"classes": ["type_0", "B cell"]}, ValueError, ("B cell", "type_1")),
    "classes empty": ({"classes": []}, ValueError, ("classes", "type_1")),
    "groupby unknown": ({"groupby": "doner"}, KeyError, ("doner", "Did you mean 'donor'")),
    "confidence": ({"min_confidence": 90}, ValueError, ("min_confidence", "90", "between 0 and 1")),
    "confidence nan": ({"min_confidence": float("nan")}, ValueError, ("min_confidence",)),
    "top_k zero": ({"top_k": 0}, ValueError, ("top_k", "0", "3 classes")),
    "top_k large": ({"top_k": 4}, ValueError, ("top_k", "4", "3 classes")),
    "batch_size": ({"batch_size": 0}, ValueError, ("batch_size",)),
    "batch_size negative": ({"batch_size": -5}, ValueError, ("batch_size",)),
}


@pytest.mark.parametrize("request_", BAD_REQUESTS)
def test_a_request_that_makes_no_sense(cells, annotating, request_):
    options, error, words = BAD_REQUESTS[request_]
    annotating(cells, error, *words, **options)


BAD_TRAINING = {
    "preset": ({"preset": "defualt"}, ValueError, ("defualt", "Did you mean 'default'")),
    "validation_size": ({"validation_size": 1.0}, ValueError, ("validation_size",)),
    "validation_size negative": ({"validation_size": -0.1}, ValueError, ("validation_size",)),
    "max_epochs": ({"max_epochs": 0}, ValueError, ("max_epochs",)),
    "batch_size": ({"batch_size": 0}, ValueError, ("batch_size",)),
    "learning_rate": ({"learning_rate": -1.0}, ValueError, ("learning_rate",)),
    "optimizer": ({"optimizer": "SGD"}, ValueError, ("SGD", "Adam")),
    "monitor": ({"monitor": "acuracy"}, ValueError, ("acuracy", "accuracy")),
    "gene_dropout": ({"gene_dropout": 1.5}, ValueError, ("gene_dropout",)),
    "gamma": ({"gamma": 0.5}, ValueError, ("gamma", "0.5")),
    "selector": ({"selector": "softmax"}, ValueError, ("softmax", "sparsemax", "entmax15")),
    "n_top_genes": ({"n_top_genes": 0}, ValueError, ("n_top_genes",)),
    "n_top_genes text": ({"n_top_genes": "all"}, ValueError, ("n_top_genes", "all")),
    "split_by": ({"split_by": "doner"}, KeyError, ("doner", "split_by", "Did you mean 'donor'")),
    "split_by the labels": ({"split_by": "cell_type"}, ValueError, ("cell_type", "held out")),
}


@pytest.mark.parametrize("request_", BAD_TRAINING)
def test_a_training_that_makes_no_sense(cells, training, request_):
    options, error, words = BAD_TRAINING[request_]
    training(cells, error, *words, **options)


@pytest.mark.parametrize(
    ("name", "meant"), [("learning_rat", "learning_rate"), ("n_stepps", "n_steps"), ("gene_drop", "gene_dropout")]
)
def test_an_unknown_parameter_is_named_beside_the_valid_ones(cells, training, name, meant):
    training(cells, TypeError, name, rf"'{meant}'", **{name: 1})


def test_an_unknown_parameter_is_noticed_before_the_cells_are_read(cells, training):
    """A typing error must not cost a pass over a file of a million cells."""
    counts = cells.X.toarray()
    counts[0, 0] = np.nan
    cells.X = counts
    training(cells, TypeError, "n_stepps", n_stepps=3)


def test_split_by_with_missing_groups(cells, training):
    cells.obs["donor"] = cells.obs["donor"].astype(object)
    cells.obs.loc[cells.obs_names[:3], "donor"] = np.nan
    training(cells, ValueError, "donor", "NaN", "3", split_by="donor")


def test_split_by_with_one_group(cells, training):
    cells.obs["donor"] = "only"
    training(cells, ValueError, "donor", "one group", split_by="donor")


# --- objects that cannot be written to --------------------------------------------------------------------------------


def test_a_backed_view_is_refused_before_the_work(cells, model, tmp_path, small):
    """It cannot hold results; training must not find that out when it is done."""
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    view = backed[:150]
    with pytest.raises(ValueError, match="to_memory"):
        sims.tl.annotate(view, model, **QUIET)
    started: list[int] = []

    from lightning.pytorch.callbacks import LambdaCallback

    watch = LambdaCallback(on_train_start=lambda *_: started.append(1))
    with pytest.raises(ValueError, match="to_memory"):
        sims.tl.sims_train(view, "cell_type", max_epochs=1, callbacks=[watch], **small)
    assert started == []


def test_a_copy_of_a_backed_object_is_refused_with_a_remedy(cells, annotating, tmp_path):
    cells.write_h5ad(tmp_path / "cells.h5ad")
    annotating(ad.read_h5ad(tmp_path / "cells.h5ad", backed="r"), ValueError, "to_memory", copy=True)


@pytest.mark.parametrize("entry", ["text", 3, np.arange(3), {"a": {"b": 1}}, {"classes": "x", "history": 1}])
def test_an_existing_entry_under_the_key_is_overwritten(cells, model, small, entry):
    cells.uns["sims"] = entry
    cells.obs["sims"] = "mine"
    cells.obsm["sims_masks"] = np.ones((200, 2))
    expected = sims.tl.annotate(cells[:].copy(), model, key_added="other", copy=True, **QUIET)
    sims.tl.annotate(cells, model, **QUIET)
    np.testing.assert_array_equal(cells.obs["sims"], expected.obs["other"])
    assert cells.obsm["sims_masks"].shape == (200, 60)
    sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    assert "history" in cells.uns["sims"]
