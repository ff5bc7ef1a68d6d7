"""An annotated or trained-on object goes to h5ad and zarr and comes back the same."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest

import sims_tools as sims

NAMES = {"type_0": "L2/3 IT", "type_1": "CD4+/CD8- T, naïve", "type_2": "type/2"}


def _through_file(adata: ad.AnnData, path: Path, kind: str) -> ad.AnnData:
    if kind == "zarr":
        pytest.importorskip("zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "h5ad":
            adata.write_h5ad(path / "file.h5ad")
            return ad.read_h5ad(path / "file.h5ad")
        adata.write_zarr(path / "file.zarr")
        return ad.read_zarr(path / "file.zarr")


def _equal(first: Any, second: Any, where: str = "uns") -> None:
    if isinstance(first, Mapping):
        assert set(first) == set(second), where
        for name in first:
            _equal(first[name], second[name], f"{where}/{name}")
    elif isinstance(first, np.ndarray):
        np.testing.assert_array_equal(np.asarray(second), first, err_msg=where)
    else:
        assert first == second, where


@pytest.fixture(scope="module")
def slashed(planted: ad.AnnData, small: dict[str, Any]) -> tuple[ad.AnnData, Any]:
    """A trained-on reference whose class names are awkward, and its model."""
    reference = planted.copy()
    reference.obs["cell_type"] = reference.obs["cell_type"].cat.rename_categories(NAMES)
    return reference, sims.tl.sims_train(reference, "cell_type", max_epochs=2, n_top_genes=40, **small)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("options", [{}, {"top_k": 2, "groupby": "donor", "min_confidence": 0.9, "embedding": True,
                                          "classes": ["L2/3 IT", "type/2"]}], ids=["plain", "everything"])  # fmt: skip
def test_an_annotation_survives_the_file(slashed, cells, tmp_path, kind, options):
    sims.tl.annotate(cells, slashed[1], progress_bar=False, **options)
    back = _through_file(cells, tmp_path, kind)
    _equal(cells.uns["sims"], back.uns["sims"])
    for column in [name for name in cells.obs if name.startswith("sims")]:
        np.testing.assert_array_equal(back.obs[column].to_numpy(), cells.obs[column].to_numpy())
        assert back.obs[column].dtype == cells.obs[column].dtype
    for name in [name for name in cells.obsm if "sims" in name]:
        assert type(back.obsm[name]) is type(cells.obsm[name])
        assert back.obsm[name].dtype == np.float32
        assert abs(back.obsm[name] - cells.obsm[name]).max() == 0
    assert list(back.obs["sims"].cat.categories)[:3] == list(slashed[1].classes)


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_a_stored_annotation_is_read_by_our_tables_and_may_be_replaced(slashed, cells, tmp_path, kind):
    sims.tl.annotate(cells, slashed[1], top_k=2, progress_bar=False)
    back = _through_file(cells, tmp_path, kind)
    np.testing.assert_array_equal(sims.get.prob_df(back), sims.get.prob_df(cells))
    assert list(sims.get.mask_df(back)["gene"]) == list(sims.get.mask_df(cells)["gene"])
    sims.tl.annotate(back, slashed[1], progress_bar=False)
    assert "sims_top2" not in back.obs
    _through_file(back, tmp_path, "h5ad")


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
def test_what_training_records_survives_the_file_and_the_next_annotation(slashed, tmp_path, kind):
    reference, model = slashed
    back = _through_file(reference, tmp_path, kind)
    _equal(reference.uns["sims"], back.uns["sims"])
    assert (back.obs["sims_split"].to_numpy() == reference.obs["sims_split"].to_numpy()).all()
    sims.tl.annotate(back, model, progress_bar=False)
    _equal(reference.uns["sims"]["history"], back.uns["sims"]["history"])
    _equal(reference.uns["sims"]["metrics"], back.uns["sims"]["metrics"])
    _through_file(back, tmp_path, "h5ad")


def test_a_backed_object_is_annotated_and_written_elsewhere(cells, model, tmp_path):
    cells.write_h5ad(tmp_path / "query.h5ad")
    backed = ad.read_h5ad(tmp_path / "query.h5ad", backed="r")
    sims.tl.annotate(backed, model, progress_bar=False)
    backed.write_h5ad(tmp_path / "annotated.h5ad")
    back = ad.read_h5ad(tmp_path / "annotated.h5ad")
    sims.tl.annotate(cells, model, progress_bar=False)
    assert (back.obs["sims"] == cells.obs["sims"]).all()
    assert (back.X != cells.X).nnz == 0
    assert abs(back.obsm["sims_masks"] - cells.obsm["sims_masks"]).max() == 0


def test_uns_holds_plain_data_only(slashed, cells, model):
    sims.tl.annotate(cells, model, progress_bar=False)
    for facts in (cells.uns["sims"], slashed[0].uns["sims"]):
        _plain(facts)


def _plain(value: Any, where: str = "uns") -> None:
    if isinstance(value, dict):
        for name, entry in value.items():
            assert type(name) is str
            assert "/" not in name, where
            _plain(entry, f"{where}/{name}")
    elif isinstance(value, np.ndarray):
        assert value.dtype.kind in "fiubU", (where, value.dtype)
    else:
        assert isinstance(value, str | bool | int | float | np.number), (where, type(value))
