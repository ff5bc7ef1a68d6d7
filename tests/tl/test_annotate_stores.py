"""Stores that are annotated in parts: what comes out is what an object in memory gets, whatever happens meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import sims_tools as sims
from sims_tools.stores import _run_parts
from sims_tools.tl import _annotate_store

PARTS: dict[str, Any] = {"progress_bar": False, "batch_size": 32, "part_size": 64}
ALL: dict[str, Any] = {
    **PARTS, "reject": 0.05, "prediction_sets": 0.2, "top_k": 2, "embedding": True, "groupby": "group",
    "min_confidence": 0.5,
}  # fmt: skip


@pytest.fixture
def query(cells: ad.AnnData) -> ad.AnnData:
    """200 cells, of which one is empty."""
    cells.X = sparse.csr_matrix(cells.X)
    cells.X[150] = 0
    cells.X.eliminate_zeros()
    cells.obs["group"] = pd.Categorical(np.random.default_rng(0).choice(["a", "b", "c"], 200))
    cells.obs.loc[cells.obs_names[:3], "group"] = np.nan
    cells.strings_to_categoricals()
    return cells


@pytest.fixture
def write(query: ad.AnnData, tmp_path: Path) -> Callable[..., Path]:
    """Write a store, that of the query unless another is given."""

    def put(name: str = "cells.h5ad", adata: ad.AnnData | None = None) -> Path:
        adata, path = query if adata is None else adata, tmp_path / name
        adata.write_zarr(path) if path.suffix == ".zarr" else adata.write_h5ad(path)
        return path

    return put


def read(path: Path) -> ad.AnnData:
    return ad.read_zarr(path) if path.suffix == ".zarr" else ad.read_h5ad(path)


def only(path: Path) -> bool:
    """Whether nothing but stores and models is beside a store."""
    return all(each.suffix in (".h5ad", ".zarr", "") for each in path.parent.iterdir())


@pytest.mark.parametrize("masks", ["full", "top", "mean", "none"])
@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_a_store_gets_what_an_object_gets(query, model, write, snapshot, changes, masks, name):
    path = write(name)
    sims.tl.annotate(path, model, masks=masks, n_mask_features=3, **ALL)
    sims.tl.annotate(query, model, masks=masks, n_mask_features=3, **ALL)
    expected = read(write(f"expected{path.suffix}"))
    found = read(path)
    assert list(found.obs) == list(query.obs)
    assert changes(snapshot(expected), snapshot(found)) <= {"order of obsm", "order of uns"}
    assert only(path)


def test_again_it_takes_the_place_of_the_first_and_keeps_what_training_recorded(
    planted, small, write, snapshot, changes
):
    reference = planted.copy()
    model = sims.tl.sims_train(reference, "cell_type", max_epochs=1, **small)
    path = write("reference.h5ad", reference)
    sims.tl.annotate(path, model, **{**ALL, "groupby": "donor"})
    sims.tl.annotate(path, model, masks="none", **PARTS)
    sims.tl.annotate(reference, model, masks="none", **PARTS)
    found = read(path)
    assert {"history", "metrics", "training_params"} <= set(found.uns["sims"])
    assert changes(snapshot(read(write("expected.h5ad", reference))), snapshot(found)) == set()


def test_the_file_does_not_grow_by_its_matrix(query, model, write):
    large = ad.concat([query] * 8)
    large.obs_names_make_unique()
    path = write("large.h5ad", large)
    before = path.stat().st_size
    sims.tl.annotate(path, model, masks="none", **PARTS)
    with h5py.File(path) as file:
        stored = sum(file["X"][name].id.get_storage_size() for name in file["X"])
    assert path.stat().st_size - before < stored / 2


@pytest.mark.parametrize("where", ["path", "object", "backed", "lazy", "url"])
@pytest.mark.parametrize("kind", [".h5ad", ".zarr"])
def test_results_go_to_a_file_of_their_own(query, model, write, tmp_path, where, kind):
    path = write("cells.zarr" if where == "url" else "cells.h5ad")
    source: Any = {"path": path, "object": query, "url": f"file://{path}"}.get(where)
    if where == "backed":
        source = ad.read_h5ad(path, backed="r")
    elif where == "lazy":
        pytest.importorskip("xarray")
        source = ad.experimental.read_lazy(path)
    before = path.read_bytes() if path.is_file() else None
    output = tmp_path / f"results{kind}"
    sims.tl.annotate(source, model, output=output, **ALL)
    found = read(output)
    assert found.n_vars == 0
    assert found.X is None
    assert list(found.obs_names) == list(query.obs_names)
    sims.tl.annotate(query, model, **ALL)
    new = [name for name in query.obs if name.startswith("sims")]
    assert list(found.obs) == new
    pd.testing.assert_frame_equal(found.obs, query.obs[new], check_index_type=False)
    np.testing.assert_array_equal(found.obsm["sims_prob"], query.obsm["sims_prob"])
    assert (found.obsm["sims_masks"] != query.obsm["sims_masks"]).nnz == 0
    assert before is None or path.read_bytes() == before
    assert only(path)
    with pytest.raises(FileExistsError, match="exists; choose another name"):
        sims.tl.annotate(path, model, output=output, **PARTS)


def test_a_backed_object_and_its_file_get_the_results(query, model, write):
    path = write()
    for mode in ("r", "r+"):
        backed = ad.read_h5ad(path, backed=mode)
        sims.tl.annotate(backed, model, **ALL)
        assert backed.isbacked
        assert backed.X[:5].shape == (5, 60)
        backed.file.close()
        assert ("sims" in read(path).obs) == (mode == "r+")
        pd.testing.assert_series_equal(backed.obs["sims"], read(path).obs["sims"]) if mode == "r+" else None
    sims.tl.annotate(query, model, **ALL)
    pd.testing.assert_frame_equal(backed.obs, query.obs)
    assert (backed.obsm["sims_masks"] != query.obsm["sims_masks"]).nnz == 0


def test_objects_read_lazily_get_the_results(query, model, write):
    pytest.importorskip("xarray")
    for path in (write(), write("cells.zarr")):
        lazy = ad.experimental.read_lazy(path)
        sims.tl.annotate(lazy, model, **PARTS)
        expected = query.copy()
        sims.tl.annotate(expected, model, **PARTS)
        np.testing.assert_array_equal(np.asarray(lazy.obs["sims"]), np.asarray(expected.obs["sims"]))
        assert (lazy.obsm["sims_masks"] != expected.obsm["sims_masks"]).nnz == 0


@pytest.mark.parametrize("convert", [sparse.csc_matrix, np.asarray], ids=["csc", "dense"])
def test_other_storages(query, model, write, convert, caplog):
    query.X = convert(query.X.toarray())
    path = write()
    sims.tl.annotate(path, model, **PARTS)
    sims.tl.annotate(query, model, **PARTS)
    found = read(path)
    np.testing.assert_array_equal(found.obs["sims"].astype(str), query.obs["sims"].astype(str))
    np.testing.assert_allclose(found.obsm["sims_prob"], query.obsm["sims_prob"], rtol=1e-5, atol=1e-6)
    assert sum("by columns (CSC)" in each.message for each in caplog.records) == (convert is sparse.csc_matrix)


def test_names_that_are_numbers_layers_and_one_cell(query, model, write, tmp_path):
    query.layers["counts"] = query.X.copy()
    query.X = None
    path = write()
    with h5py.File(path, "r+") as file:
        del file["obs/_index"]
        ad.io.write_elem(file["obs"], "_index", np.arange(200))
    sims.tl.annotate(path, model, layer="counts", output=tmp_path / "results.h5ad", **PARTS)
    assert list(read(tmp_path / "results.h5ad").obs_names) == [str(i) for i in range(200)]
    one = write("one.h5ad", query[:1].copy())
    sims.tl.annotate(one, model, layer="counts", **PARTS)
    assert read(one).obsm["sims_masks"].shape == (1, 60)


def test_a_list_of_stores(model, write, tmp_path):
    paths = [write("a.h5ad"), write("b.zarr")]
    sims.tl.annotate(paths, model, output=tmp_path / "results", **PARTS)
    assert sorted(each.name for each in (tmp_path / "results").iterdir()) == ["a.h5ad", "b.zarr"]
    sims.tl.annotate([str(path) for path in paths], model, **PARTS)
    assert all("sims" in read(path).obs for path in paths)
    with pytest.raises(ValueError, match="empty list"):
        sims.tl.annotate([], model)
    with pytest.raises(ValueError, match="have one name"):
        sims.tl.annotate([paths[0], paths[0]], model, output=tmp_path / "more")


# --- what can go wrong ------------------------------------------------------------------------------------------------


def stop_after(monkeypatch: pytest.MonkeyPatch, n: int, error: BaseException) -> None:
    """Let a run end after some parts."""
    real, left = _annotate_store.annotate_part, [n]

    def stopping(*args: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise error
        return real(*args)

    monkeypatch.setattr(_annotate_store, "annotate_part", stopping)


@pytest.mark.parametrize("name", ["cells.h5ad", "cells.zarr"])
def test_an_interrupted_run_goes_on(query, model, write, monkeypatch, snapshot, changes, name, caplog):
    whole, path = write(f"whole{Path(name).suffix}"), write(name)
    sims.tl.annotate(whole, model, **ALL)
    before = snapshot(read(path))
    with monkeypatch.context() as patched:
        stop_after(patched, 2, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            sims.tl.annotate(path, model, **ALL)
    assert "resume=True" in caplog.text
    assert changes(before, snapshot(read(path))) == set()
    with monkeypatch.context() as patched:
        stop_after(patched, 2, AssertionError())  # two are left
        sims.tl.annotate(path, model, resume=True, **ALL)
    assert changes(snapshot(read(whole)), snapshot(read(path))) == set()
    assert only(path)


def test_resume_is_refused_after_another_call(model, query, planted, small, write, monkeypatch):
    path = write()
    with monkeypatch.context() as patched:
        stop_after(patched, 2, RuntimeError("stopped"))
        with pytest.raises(RuntimeError, match="stopped"):
            sims.tl.annotate(path, model, **PARTS)
    other = sims.tl.sims_train(planted.copy(), "cell_type", max_epochs=1, **small)
    for changed, match in (
        ({"min_confidence": 0.3}, r"min_confidence \(None then, 0.3 now\)"),
        ({"part_size": 96}, "part_size"),
        ({"masks": "mean"}, r"masks \('full' then, 'mean' now\)"),
    ):
        with pytest.raises(ValueError, match=match):
            sims.tl.annotate(path, model, resume=True, **{**PARTS, **changed})
    with pytest.raises(ValueError, match="differs: model"):
        sims.tl.annotate(path, other, resume=True, **PARTS)
    write(adata=query[:100].copy())
    with pytest.raises(ValueError, match=r"differs: (parts|store)"):
        sims.tl.annotate(path, model, resume=True, **PARTS)
    sims.tl.annotate(path, model, **PARTS)
    assert "sims" in read(path).obs


def test_damaged_parts_are_done_again(model, write, monkeypatch, snapshot, changes):
    whole, path = write("whole.h5ad"), write()
    sims.tl.annotate(whole, model, **PARTS)
    with monkeypatch.context() as patched:
        stop_after(patched, 3, RuntimeError())
        with pytest.raises(RuntimeError):
            sims.tl.annotate(path, model, **PARTS)
    parts = sorted(path.with_name("cells.h5ad.sims-parts").glob("*.npz"))
    parts[0].write_bytes(parts[0].read_bytes()[:-500])
    damaged = bytearray(parts[1].read_bytes())
    damaged[300] ^= 255
    parts[1].write_bytes(bytes(damaged))
    sims.tl.annotate(path, model, resume=True, **PARTS)
    assert changes(snapshot(read(whole)), snapshot(read(path))) == set()


@pytest.mark.parametrize("change", ["rows are appended", "values change"])
def test_a_store_that_changes_meanwhile_is_left_alone(query, model, write, monkeypatch, change):
    path = write()
    real = _annotate_store.run_parts

    def changing(*args: Any, **kwargs: Any) -> Any:
        yield from real(*args, **kwargs)
        if change == "rows are appended":
            more = ad.concat([query, query])
            more.obs_names_make_unique()
            write(adata=more)
        else:
            other = query.copy()
            other.X = other.X * 2
            write(adata=other)

    monkeypatch.setattr(_annotate_store, "run_parts", changing)
    with pytest.raises(ValueError, match="was changed while it was annotated"):
        sims.tl.annotate(path, model, **PARTS)
    assert "sims" not in read(path).obs


@pytest.mark.parametrize(("bad", "match"), [(np.nan, "NaN"), (-1.0, "negative")])
def test_values_that_are_not_expression_are_found_late_and_named(planted, model, write, bad, match):
    many = ad.concat([planted] * 7)
    many.obs_names = [f"c{i}" for i in range(1400)]
    many.X = sparse.csr_matrix(many.X)
    row = next(i for i in range(300, 400) if i not in set(sims.data._blocks.sample_positions(1400)))
    many.X.data[many.X.indptr[row]] = bad
    path = write(adata=many)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=rf"rows {row} \('c{row}'\).*{match}"):
        sims.tl.annotate(path, model, **PARTS)
    assert path.read_bytes() == before


def test_what_cannot_be_annotated_is_said(query, model, write, tmp_path):
    path = write()
    foreign = query.copy()
    foreign.var_names = [f"x{i}" for i in range(60)]
    empty = query[:0].copy()
    for source, options, match in (
        (write("foreign.h5ad", foreign), {}, "too few to annotate"),
        (write("empty.h5ad", empty), {}, "is empty: it has 0 cells"),
        (path, {"reject": 0.1, "reject_by": "neighbors"}, "reject_by='cell'"),
        (path, {"modalities": {"rna": "rna"}}, "is for a MuData"),
        (path, {"copy": True}, "`copy` is for an object"),
        (path, {"masks": "some"}, "is not one of 'full', 'top', 'mean', 'none'"),
        (path, {"masks": "top", "n_mask_features": 0}, "n_mask_features"),
        (path, {"output": tmp_path / "results.csv"}, "must end with .h5ad or .zarr"),
        (f"file://{tmp_path}/cells.zarr", {}, "is remote"),
        (tmp_path / "cells.h5mu", {}, "holds a MuData"),
        (query, {"resume": True}, "`resume` is for cells in a file"),
        (query, {"n_jobs": 2, "output": tmp_path / "results.h5ad"}, "each process can open the cells"),
    ):
        with pytest.raises(ValueError, match=match):
            sims.tl.annotate(source, model, **{**PARTS, **options})
    for options, match in (({"groupby": "nothing"}, "groupby"), ({"layer": "nothing"}, "layer")):
        with pytest.raises(KeyError, match=match):
            sims.tl.annotate(path, model, **PARTS, **options)
    with pytest.raises(FileNotFoundError, match="no file"):
        sims.tl.annotate(tmp_path / "nothing.h5ad", model)
    assert "sims" not in read(path).obs
    assert not path.with_name("cells.h5ad.sims-parts").exists()


def test_text_is_read_whole_and_needs_an_output(query, model, tmp_path):
    query.to_df().to_csv(tmp_path / "cells.csv")
    query.obs[["cell_type"]].to_csv(tmp_path / "labels.csv")
    with pytest.raises(ValueError, match="is read whole"):
        sims.tl.annotate(tmp_path / "cells.csv", model)


def test_old_formats_are_refused(query, model, write):
    path = write()
    with h5py.File(path, "r+") as file:
        del file["X"].attrs["encoding-type"]
    with pytest.raises(ValueError, match=r"written by anndata before 0\.8"):
        sims.tl.annotate(path, model, **PARTS)


def test_a_file_that_is_open_elsewhere_is_said_before_the_work(model, write, monkeypatch):
    path = write()
    monkeypatch.setattr(_run_parts, "_run", None)
    with h5py.File(path), pytest.raises(OSError, match="open elsewhere"):
        sims.tl.annotate(path, model, **PARTS)


CHILD = """
import os, signal, sys
import sims_tools as sims
from sims_tools.stores import _overlay

def killed(file):
    os.kill(os.getpid(), signal.SIGKILL)

_overlay.sync = killed
sims.tl.annotate(sys.argv[1], sys.argv[2], progress_bar=False, batch_size=32, part_size=64)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_process_killed_before_its_last_write_leaves_the_store_as_it_was(model, folder, write, snapshot, changes):
    """Every other moment of appending is in `tests/stores/test_append_hdf5.py`."""
    whole, path = write("whole.h5ad"), write()
    before = path.read_bytes()
    command = [sys.executable, "-W", "ignore", "-c", CHILD, str(path), str(folder)]
    assert subprocess.run(command, timeout=120, check=False).returncode == -signal.SIGKILL
    assert path.stat().st_size > len(before)
    assert path.read_bytes()[: len(before)] == before
    assert "sims" not in read(path).obs
    sims.tl.annotate(path, folder, resume=True, **PARTS)
    sims.tl.annotate(whole, model, **PARTS)
    assert changes(snapshot(read(whole)), snapshot(read(path))) == set()
    assert only(path)
