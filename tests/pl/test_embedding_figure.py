"""Cells as points, and what is handed to TensorBoard."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib.pyplot as plt
import mudata
import numpy as np
import pandas as pd
import pytest
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from sims_tools import pl


@pytest.fixture
def mapped(adata):
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(adata.n_obs, 2)).astype(np.float32)
    adata.obsm["X_cite"] = np.random.default_rng(1).normal(size=(adata.n_obs, 24)).astype(np.float32)
    return adata


def points(ax):
    return np.vstack([each.get_offsets() for each in ax.collections])


def legend(ax):
    found = ax.get_legend()
    return [text.get_text() for text in found.get_texts()]


def test_labels_are_drawn_in_their_colours(mapped):
    mapped.uns["sims_colors"] = ["#ff0000", "#00ff00", "#0000ff", "#888800"]
    ax = pl.embedding(mapped, show=False)
    assert ax.get_title() == "sims"
    drawn = points(ax)
    order = np.lexsort(drawn.T)
    expected = mapped.obsm["X_umap"][np.lexsort(mapped.obsm["X_umap"].T)]
    np.testing.assert_allclose(drawn[order], expected, atol=1e-6)
    assert legend(ax) == list(mapped.obs["sims"].cat.categories)
    keys = [to_hex(line.get_color()) for line in ax.get_legend().get_lines()]
    assert keys == mapped.uns["sims_colors"]
    faces = {to_hex(color) for each in ax.collections for color in each.get_facecolors()}
    assert faces == set(mapped.uns["sims_colors"])


def test_numbers_get_a_colour_bar_and_panels_stand_in_rows(mapped):
    axes = pl.embedding(mapped, "umap", color=["sims", "sims_confidence", "donor", "truth"], show=False)
    assert [ax.get_title() for ax in axes] == ["sims", "sims_confidence", "donor", "truth"]
    assert axes[1].get_legend() is None
    assert len(axes[1].child_axes) == 1
    assert legend(axes[2]) == ["d1", "d2", "d3"]
    tops = [ax.get_position().y0 for ax in axes]
    assert tops[0] == tops[1] == tops[2] > tops[3]
    values = np.ma.getdata(axes[1].collections[-1].get_array())
    np.testing.assert_allclose(np.sort(values), np.sort(mapped.obs["sims_confidence"]), rtol=1e-6)


def test_columns_of_other_types(mapped):
    mapped.obs["text"] = np.where(np.arange(mapped.n_obs) % 2, "odd", "even")
    mapped.obs["flag"] = np.arange(mapped.n_obs) % 2 == 0
    mapped.obs["gaps"] = pd.Categorical(np.where(np.arange(mapped.n_obs) < 9, None, "seen"), categories=["seen", "not"])
    axes = pl.embedding(mapped, color=["text", "flag", "gaps"], show=False)
    assert [legend(ax) for ax in axes] == [["even", "odd"], ["False", "True"], ["seen"]]
    assert sum(len(each.get_offsets()) for each in axes[2].collections) == mapped.n_obs


def test_a_mudata(mapped):
    cells = mudata.MuData({"rna": mapped})
    cells.obs["type"] = mapped.obs["truth"]
    cells.obsm["X_umap"] = mapped.obsm["X_umap"]
    ax = pl.embedding(cells, color="type", show=False)
    assert legend(ax) == list(mapped.obs["truth"].cat.categories)
    assert set(cells.obsm) == {"rna", "X_umap"}


def test_what_comes_back_and_that_nothing_is_written(mapped, snapshot, changes):
    before = snapshot(mapped)
    assert isinstance(pl.embedding(mapped, return_fig=True), Figure)
    _, own = plt.subplots()
    assert pl.embedding(mapped, ax=own, show=False) is own
    assert isinstance(pl.embedding(mapped, color=["sims"], show=False), list)
    assert changes(before, snapshot(mapped)) == set()


def test_what_cannot_be_drawn(mapped):
    with pytest.raises(KeyError, match=r"`color='typ'`.*is not a column"):
        pl.embedding(mapped, color="typ")
    with pytest.raises(KeyError, match=r"`basis='tsne'` is not in `adata.obsm`"):
        pl.embedding(mapped, "tsne")
    with pytest.raises(ValueError, match=r"shape \(240, 24\).*use_rep='X_cite'"):
        pl.embedding(mapped, "cite")
    with pytest.raises(ValueError, match="room for one column; `color` names 2"):
        pl.embedding(mapped, color=["sims", "donor"], ax=plt.figure().add_subplot())


# --- TensorBoard ------------------------------------------------------------------------------------------------------


def tables(folder: Path) -> tuple[np.ndarray, list[list[str]]]:
    """What the projector will read."""
    tensors, metadata = next(folder.rglob("tensors.tsv")), next(folder.rglob("metadata.tsv"))
    return np.loadtxt(tensors, delimiter="\t"), [line.split("\t") for line in metadata.read_text().splitlines()]


def test_an_embedding_goes_to_the_projector(mapped, tmp_path, snapshot, changes):
    mapped.obs["note"] = [f"line\n{i}\tand tab" for i in range(mapped.n_obs)]
    before = snapshot(mapped)
    logger = TensorBoardLogger(tmp_path, name="runs")
    assert pl.projector(mapped, "cite", logger=logger, color=["sims", "note"], tag="latent") is None
    values, rows = tables(Path(logger.log_dir))
    np.testing.assert_allclose(values, mapped.obsm["X_cite"], rtol=1e-5)
    assert rows[0] == ["sims", "note"]
    assert rows[1:] == [[label, f"line {i} and tab"] for i, label in enumerate(mapped.obs["sims"])]
    assert 'tensor_name: "latent' in (Path(logger.log_dir) / "projector_config.pbtxt").read_text()
    assert changes(before, snapshot(mapped)) == set()


def test_a_folder_is_enough(mapped, tmp_path):
    pl.projector(mapped, "X_umap", logger=tmp_path / "logs", color="donor", global_step=3)
    values, rows = tables(tmp_path / "logs")
    assert values.shape == (240, 2)
    assert [row for (row,) in rows] == list(mapped.obs["donor"])
    assert next((tmp_path / "logs").rglob("tensors.tsv")).parent.parent.name == "00003"
    pl.projector(mapped, "X_umap", logger=tmp_path / "bare")
    assert not list((tmp_path / "bare").rglob("metadata.tsv"))


def test_what_cannot_be_handed_over(mapped, tmp_path, monkeypatch):
    with pytest.raises(KeyError, match="`color='typ'`"):
        pl.projector(mapped, "cite", logger=tmp_path, color="typ")
    with pytest.raises(KeyError, match="`basis='pca'`"):
        pl.projector(mapped, "pca", logger=tmp_path)
    with pytest.raises(TypeError, match="`logger` is a CSVLogger, which takes no embeddings"):
        pl.projector(mapped, "cite", logger=CSVLogger(tmp_path))
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "sims_tools.pl._projector.find_spec", lambda name: None if name == "tensorboard" else found(name)
    )
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sims-tools\[tensorboard\]'"):
        pl.projector(mapped, "cite", logger=tmp_path)
