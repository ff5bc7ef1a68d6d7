"""Annotated stores are read as objects in memory are: the table of `docs/scale/what_works.md`, cell by cell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims
from sims_tools.data import _free_memory

pytest.importorskip("xarray")
mpl.use("Agg")

OPENED = ("backed", "lazy h5ad", "lazy zarr", "dask")
CALLED = {"progress_bar": False, "reject": 0.05, "prediction_sets": 0.2, "embedding": True}


TRAINING: dict[str, Any] = {
    "max_epochs": 12, "learning_rate": 0.02, "n_d": 8, "n_a": 8, "n_members": 1, "batch_size": 32, "progress_bar": False
}  # fmt: skip


@pytest.fixture(scope="module")
def trained() -> Any:
    """Classes in an order that is not that of their names."""
    return sims.tl.sims_train(_cells(), "cell_type", **TRAINING)


def _cells() -> ad.AnnData:
    cells = sims.data.planted_cells(n_cells=200, n_genes=60, n_classes=3)
    cells.X = sparse.csr_matrix(cells.X)
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.reorder_categories(["type_2", "type_0", "type_1"])
    cells.obsm["X_umap"] = np.random.default_rng(0).random((200, 2)).astype(np.float32)
    cells.var["symbol"] = [f"SYMBOL{i}" for i in range(60)]
    cells.uns["sims_colors"] = np.array(["#ff0000", "#00ff00", "#0000ff", "#888888"], dtype=object)
    cells.strings_to_categoricals()
    return cells


@pytest.fixture(scope="module")
def stores(trained: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Path]:
    """A store of some kind, annotated with some masks; only to be read."""
    folder, made = tmp_path_factory.mktemp("stores"), {}

    def store(masks: str, kind: str) -> Path:
        if (masks, kind) not in made:
            path = made[masks, kind] = folder / f"{masks}.{kind}"
            _write(_cells(), path)
            sims.tl.annotate(path, trained, masks=masks, **CALLED)
        return made[masks, kind]

    return store


@pytest.fixture(scope="module")
def in_memory(trained: Any) -> Callable[[str], ad.AnnData]:
    """The same cells, annotated in memory."""
    made: dict[str, ad.AnnData] = {}

    def annotated(masks: str) -> ad.AnnData:
        if masks not in made:
            made[masks] = _cells()
            sims.tl.annotate(made[masks], trained, masks=masks, **CALLED)
        return made[masks].copy()

    return annotated


def _write(cells: ad.AnnData, path: Path) -> None:
    cells.write_zarr(path) if path.suffix == ".zarr" else cells.write_h5ad(path)


@pytest.fixture
def open_as(stores: Any, in_memory: Any) -> Iterator[Callable[[str, str], ad.AnnData]]:
    """An annotated store, opened in some way."""
    with ExitStack() as closing:

        def opened(masks: str, way: str) -> ad.AnnData:
            if way == "backed":
                adata = ad.read_h5ad(stores(masks, "h5ad"), backed="r")
                closing.callback(adata.file.close)
                return adata
            if way == "lazy h5ad":
                return ad.experimental.read_lazy(closing.enter_context(h5py.File(stores(masks, "h5ad"))))
            if way == "lazy zarr":
                return ad.experimental.read_lazy(stores(masks, "zarr"))
            adata = in_memory(masks)
            adata.X = pytest.importorskip("dask.array").from_array(adata.X, chunks=(64, 60), asarray=False)
            return adata

        yield opened


def same(found: Any, expected: Any) -> None:
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, check_dtype=False)  # pandas 3 reads text in several types
    elif isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(np.asarray(found), expected)
    else:
        assert found == expected


TABLES: dict[str, Callable[[ad.AnnData], Any]] = {
    "mask_df": sims.get.mask_df,
    "mask_df of a group": lambda adata: sims.get.mask_df(adata, group="type_1", n_genes=None),
    "mask_df of cells": lambda adata: sims.get.mask_df(adata, ["cell_7", "cell_3"]),
    "prob_df": sims.get.prob_df,
    "input_kind": sims.pp.input_kind,
    "gene_id_kind": sims.pp.gene_id_kind,
}


@pytest.mark.parametrize("way", OPENED)
@pytest.mark.parametrize("name", TABLES)
def test_tables_are_those_of_memory(open_as, in_memory, name, way):
    same(TABLES[name](open_as("full", way)), TABLES[name](in_memory("full")))


FIGURES: dict[str, Callable[..., Any]] = {
    **{
        f"feature_masks, {kind}": lambda adata, kind=kind: sims.pl.feature_masks(
            adata, kind=kind, gene_symbols="symbol", return_fig=True
        )
        for kind in ("umap", "heatmap", "cells", "bar")
    },
    "confusion_matrix": lambda adata: sims.pl.confusion_matrix(adata, "cell_type", return_fig=True),
    "label_distribution": lambda adata: sims.pl.label_distribution(adata, groupby="donor", return_fig=True),
    "embedding": lambda adata: sims.pl.embedding(adata, color=["sims", "sims_confidence"], return_fig=True),
    "reliability": lambda adata: sims.pl.reliability(adata, "cell_type", return_fig=True),
    "risk_coverage": lambda adata: sims.pl.risk_coverage(adata, "cell_type", return_fig=True),
}


def pixels(figure: Any) -> np.ndarray:
    figure.set_dpi(40)
    figure.canvas.draw()
    drawn = np.asarray(figure.canvas.buffer_rgba()).copy()
    mpl.pyplot.close(figure)
    return drawn


@pytest.mark.parametrize("way", ["backed", "lazy h5ad", "lazy zarr"])
@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_those_of_memory_to_the_pixel(open_as, in_memory, name, way):
    same(pixels(FIGURES[name](open_as("full", way))), pixels(FIGURES[name](in_memory("full"))))


@pytest.mark.parametrize("way", ["lazy h5ad", "lazy zarr"])
def test_figures_of_groups_are_drawn_of_means(open_as, in_memory, way):
    lazy, cells = open_as("mean", way), in_memory("mean")
    for name in ("feature_masks, heatmap", "feature_masks, bar"):
        same(pixels(FIGURES[name](lazy)), pixels(FIGURES[name](cells)))
    same(TABLES["mask_df of a group"](lazy), TABLES["mask_df of a group"](cells))
    with pytest.raises(KeyError, match="was made with `masks='mean'`"):
        FIGURES["feature_masks, cells"](lazy)


def test_what_stores_hold_of_training_and_studies_is_drawn(trained, tmp_path):
    reference = _cells()
    model = sims.tl.sims_train(reference, "cell_type", **TRAINING)
    sims.tl.annotate(reference, model, progress_bar=False)
    sims.tl.evaluate_masks(reference, model, n_genes=(5,), progress_bar=False)
    sims.tl.cross_validate(reference, "cell_type", model="knn", n_folds=2, progress_bar=False)
    _write(reference, tmp_path / "reference.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "reference.h5ad")
    for draw in (sims.pl.training_history, sims.pl.mask_quality, sims.pl.cross_validation):
        same(pixels(draw(lazy, return_fig=True)), pixels(draw(reference, return_fig=True)))
    same(sims.get.study_df(lazy, "cross_validation"), sims.get.study_df(reference, "cross_validation"))


SCORES = ["accuracy", "macro_f1", "n_train", "n_test"]
WRITTEN: dict[str, tuple[Callable[..., Any], Callable[[ad.AnnData], Any]]] = {
    "evaluate": (
        lambda adata, model: sims.tl.evaluate(adata, "cell_type"),
        lambda adata: pd.concat([sims.get.evaluation_df(adata, each) for each in ("overall", "reliability")]),
    ),
    "rank_mask_genes": (
        lambda adata, model: sims.tl.rank_mask_genes(adata, "donor"),
        lambda adata: pd.DataFrame(adata.uns["rank_mask_genes"]["scores"]),
    ),
    "evaluate_masks": (
        lambda adata, model: sims.tl.evaluate_masks(adata, model, n_genes=(5,), max_cells=60, progress_bar=False),
        lambda adata: sims.data._in_memory.uns_entry(adata, "sims", "")["mask_quality"]["faithfulness"],
    ),
    "embed": (
        lambda adata, model: sims.tl.embed(adata, model, key_added="e", progress_bar=False),
        lambda adata: np.asarray(adata.obsm["X_e"]),
    ),
    "cross_validate": (
        lambda adata, model: sims.tl.cross_validate(
            adata, "cell_type", model="knn", groupby="donor", n_folds=2, progress_bar=False
        ),
        lambda adata: sims.get.study_df(adata, "cross_validation")[SCORES],
    ),
    "learning_curve": (
        lambda adata, model: sims.tl.learning_curve(
            adata, "cell_type", model="knn", fractions=[1.0], n_repeats=1, progress_bar=False
        ),
        lambda adata: sims.get.study_df(adata, "learning_curve")[SCORES],
    ),
    "benchmark": (
        lambda adata, model: sims.tl.benchmark(adata, "cell_type", ["knn"], n_folds=2, progress_bar=False),
        lambda adata: sims.get.study_df(adata, "benchmark")[SCORES],
    ),
}


ONE_STUDY = [name for name in WRITTEN if name not in ("learning_curve", "benchmark")]
"""Studies read and write by the same code."""


@pytest.fixture(scope="module")
def expected(in_memory: Any, trained: Any) -> Callable[[str], Any]:
    """What an object in memory gets."""
    made: dict[str, Any] = {}

    def of(name: str) -> Any:
        if name not in made:
            work, look = WRITTEN[name]
            adata = in_memory("full")
            work(adata, trained)
            made[name] = look(adata)
        return made[name]

    return of


@pytest.mark.parametrize("way", ["backed", "lazy h5ad", "dask"])
@pytest.mark.parametrize("name", ONE_STUDY)
def test_objects_get_what_they_get_in_memory(open_as, trained, expected, name, way):
    work, look = WRITTEN[name]
    adata = open_as("full", way)
    work(adata, trained)
    same(look(adata), expected(name))


@pytest.mark.parametrize(
    ("name", "way"), [*((name, "path h5ad") for name in WRITTEN), ("evaluate", "path zarr"), ("embed", "path zarr")]
)
def test_stores_get_what_objects_get(stores, trained, expected, snapshot, changes, tmp_path, name, way):
    work, look = WRITTEN[name]
    path = tmp_path / f"cells.{way.split()[1]}"
    read = ad.read_zarr if path.suffix == ".zarr" else ad.read_h5ad
    before = read(stores("full", path.suffix[1:]))
    _write(before, path)
    assert work(path, trained) is None
    after = read(path)
    same(look(after), expected(name))
    changed = changes(snapshot(before), snapshot(after))
    assert len(changed) == 1
    assert changed.pop().split("/")[0] in ("uns", "obsm")
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    if (name, way) == ("evaluate", "path h5ad"):  # again, in place of the first
        work(path, trained)
        same(look(read(path)), expected(name))


def test_shares_of_modalities_are_those_that_were_written(tmp_path):
    cells = sims.data.planted_cite(120, 20, 4)
    rna = cells.mod["rna"].copy()
    proteins = cells.mod["prot"]
    rna.obsm["adt"] = pd.DataFrame(proteins.X.toarray(), index=rna.obs_names, columns=proteins.var_names)
    rna.obs["cell_type"] = pd.Categorical(np.asarray(cells.obs["cell_type"]).astype(str))
    model = sims.tl.sims_train(rna, "cell_type", protein_obsm_key="adt", **{**TRAINING, "max_epochs": 2})
    _write(rna, tmp_path / "cells.h5ad")
    lazy = ad.experimental.read_lazy(tmp_path / "cells.h5ad")
    sims.tl.annotate(lazy, model, masks="mean", progress_bar=False)
    sims.tl.annotate(rna, model, masks="mean", progress_bar=False)
    same(sims.get.modality_share_df(lazy), sims.get.modality_share_df(rna))
    sims.tl.annotate(rna, model, progress_bar=False)
    same(sims.get.modality_share_df(lazy), sims.get.modality_share_df(rna))
    ax = sims.pl.modality_share(lazy, show=False)
    assert len(ax.get_yticklabels()) == len(sims.get.modality_share_df(rna))


READERS: dict[str, Callable[..., Any]] = {
    **TABLES,
    **FIGURES,
    "training_history": sims.pl.training_history,
    "mask_quality": sims.pl.mask_quality,
    "benchmark": sims.pl.benchmark,
    "modality_share": sims.pl.modality_share,
    "projector": lambda adata: sims.pl.projector(adata, "X_umap", logger="nowhere"),
    "study_df": lambda adata: sims.get.study_df(adata, "benchmark"),
    "evaluation_df": sims.get.evaluation_df,
    "modality_share_df": sims.get.modality_share_df,
}


@pytest.mark.parametrize("name", READERS)
def test_what_does_not_take_paths_says_how_to_open_them(name):
    with pytest.raises(TypeError, match=r"read_lazy\(path\)"):
        READERS[name](Path("atlas.h5ad"))
    with pytest.raises(TypeError, match="is a list; expected an AnnData"):
        READERS[name]([Path("atlas.h5ad")])


def test_methods_of_models_say_it_too(trained, tmp_path):
    for method in (trained.predict, trained.get_latent_representation, trained.match):
        with pytest.raises(TypeError, match=r"read_lazy\(path\)"):
            method(tmp_path)


@pytest.mark.parametrize("name", ONE_STUDY)
def test_errors_leave_stores_as_they_are(stores, trained, tmp_path, name):
    work, _ = WRITTEN[name]
    with pytest.raises(FileNotFoundError, match="There is no store"):
        work(tmp_path / "none.h5ad", trained)
    with pytest.raises(TypeError, match="is a list; expected an AnnData"):
        work([stores("full", "h5ad")], trained)
    before = stores("full", "h5ad").read_bytes()
    with h5py.File(stores("full", "h5ad")), pytest.raises(OSError, match="open"):
        work(stores("full", "h5ad"), trained)
    assert stores("full", "h5ad").read_bytes() == before


def test_copies_are_of_memory(open_as, stores):
    for way in ("backed", "lazy zarr"):
        adata = open_as("full", way)
        with pytest.raises(ValueError, match="`copy=True` would copy a file"):
            sims.tl.evaluate(adata, "cell_type", copy=True)
    with pytest.raises(ValueError, match="`copy` is for an object"):
        sims.tl.evaluate(stores("full", "h5ad"), "cell_type", copy=True)


def test_top_masks_are_not_examined_whole(open_as, trained):
    with pytest.raises(ValueError, match="was made with `masks='top'`"):
        sims.tl.evaluate_masks(open_as("top", "lazy h5ad"), trained)


def test_studies_do_not_fill_the_memory(open_as, monkeypatch):
    monkeypatch.setattr(_free_memory, "free_memory", lambda: 1000)
    with pytest.raises(MemoryError, match=r"Give a sample of the cells, `adata\[rows\].to_memory\(\)`"):
        sims.tl.cross_validate(open_as("full", "lazy zarr"), "cell_type", model="knn", progress_bar=False)


@pytest.mark.parametrize("way", OPENED)
def test_methods_of_models_read_them(open_as, in_memory, trained, way):
    adata, cells = open_as("full", way), in_memory("full")
    same(trained.predict(adata, soft=True), trained.predict(cells, soft=True))
    same(trained.get_latent_representation(adata), trained.get_latent_representation(cells))


def test_the_recipe_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[1] / "docs" / "scale" / "what_works.md"
    (block,) = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    found: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(block, str(page), "exec"), found)
    assert "evaluation" in found["atlas"].uns["sims"]
    found["atlas"].file.close()
