"""What the rooms' tests share: one thread, small planted cells, trained models, and a diff of an AnnData object."""

from __future__ import annotations

import hashlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import settings
from scipy import sparse

settings.register_profile("same examples every time", derandomize=True)
settings.load_profile("same examples every time")

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when triton is first imported, by whomever

SMALL: dict[str, Any] = {"n_d": 4, "n_a": 4, "n_steps": 2, "n_members": 1, "batch_size": 64, "progress_bar": False}
"""A network that trains an epoch in a tenth of a second."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def time_limit() -> Iterator[None]:
    """End a test that waits for other processes in vain; the limit is for a machine that is busy."""

    def end(*_: object) -> None:
        raise TimeoutError("The test took more than five minutes.")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def small() -> dict[str, Any]:
    return dict(SMALL)


@pytest.fixture(scope="session")
def planted() -> ad.AnnData:
    import sims_tools as sims

    return sims.data.planted_cells(n_cells=200, n_genes=60, n_classes=3)


@pytest.fixture
def cells(planted: ad.AnnData) -> ad.AnnData:
    """200 cells, 60 genes, 3 classes; the test's own."""
    return planted.copy()


@pytest.fixture(scope="session")
def model(planted: ad.AnnData) -> Any:
    """A model that tells the planted classes apart; never train it further."""
    import sims_tools as sims

    return sims.tl.sims_train(
        planted.copy(), "cell_type", max_epochs=30, learning_rate=0.02, weight_average=0.9,
        n_d=8, n_a=8, n_members=1, sparsity=0.0, batch_size=32, progress_bar=False,
    )  # fmt: skip


@pytest.fixture(scope="session")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The saved `model`."""
    path = tmp_path_factory.mktemp("saved") / "model"
    model.save(path)
    return path


@pytest.fixture(scope="session")
def dress() -> Callable[[ad.AnnData], ad.AnnData]:
    """Fill every slot of an object with something that is the user's."""
    return _dress


def _dress(adata: ad.AnnData) -> ad.AnnData:
    n, p = adata.shape
    rng = np.random.default_rng(1)
    counts = sparse.csr_matrix(adata.X)
    adata.layers["counts"] = counts.astype(np.int64)
    adata.layers["dense"] = counts.toarray()
    adata.raw = ad.AnnData(sparse.csr_matrix(counts[:, : p // 2]), obs=adata.obs[[]], var=adata.var[: p // 2])
    adata.obs["leiden"] = pd.Categorical(rng.choice(["0", "1", "10"], n), categories=["10", "1", "0", "empty"])
    adata.obs["stage"] = pd.Categorical(rng.choice(["E10", "E12"], n), categories=["E12", "E10"], ordered=True)
    adata.obs["n_counts"] = rng.random(n)
    adata.obs["score"] = np.where(rng.random(n) < 0.3, np.nan, 1.0)
    adata.obs["doublet"] = rng.random(n) < 0.1
    adata.obs["note"] = [f"note {i}" for i in range(n)]
    adata.var["length"] = rng.integers(1, 9, p)
    adata.obsm["X_umap"] = rng.random((n, 2)).astype(np.float32)
    adata.obsm["other"] = sparse.random(n, 5, 0.3, format="csr", random_state=0)
    adata.obsm["frame"] = pd.DataFrame({"a": rng.random(n)}, index=adata.obs_names)
    adata.varm["PCs"] = rng.random((p, 3))
    adata.obsp["connectivities"] = sparse.random(n, n, 0.02, format="csr", random_state=0)
    adata.varp["similar"] = np.eye(p)
    adata.uns["neighbors"] = {"params": {"n": 5, "method": "umap"}, "key": "connectivities"}
    adata.uns["leiden_colors"] = np.array(["#ff0000", "#00ff00", "#0000ff", "#000000"])
    return adata


Snapshot = dict[str, Any]


@pytest.fixture(scope="session")
def snapshot() -> Callable[[ad.AnnData], Snapshot]:
    """Everything an object holds, by slot: values to the bit, dtypes, storage and order."""
    return _snapshot


@pytest.fixture(scope="session")
def changes() -> Callable[[Snapshot, Snapshot], set[str]]:
    """Slots that differ between two snapshots."""
    return _changes


def _snapshot(adata: ad.AnnData) -> Snapshot:
    found: Snapshot = {
        "shape": adata.shape,
        "backed": (adata.isbacked, str(adata.filename)),
        "X": None if adata.X is None else _bits(adata.X),
        "obs_names": _bits(adata.obs_names),
        "var_names": _bits(adata.var_names),
        "raw": None if adata.raw is None else (_bits(adata.raw.X), _bits(adata.raw.var)),
    }
    for slot in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
        entries = {name: value for name, value in getattr(adata, slot).items() if name is not None}
        found[f"order of {slot}"] = [f"{slot}/{name}" for name in entries]
        found |= {f"{slot}/{name}": _bits(value) for name, value in entries.items()}
    for slot in ("obs", "var"):
        frame = getattr(adata, slot)
        found[f"order of {slot}"] = [f"{slot}/{name}" for name in frame.columns]
        found |= {f"{slot}/{name}": _bits(frame[name]) for name in frame.columns}
    return found


def _changes(before: Snapshot, after: Snapshot) -> set[str]:
    keys = {key for key in before | after if not key.startswith("order of ")}
    differ = {key for key in keys if before.get(key, "absent") != after.get(key, "absent")}
    for key in before:
        if key.startswith("order of "):
            old, new = ([name for name in each[key] if name not in differ] for each in (before, after))
            if old != new:
                differ.add(key)
    return differ


def _bits(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _bits(entry) for key, entry in value.items()}
    if isinstance(value, pd.DataFrame):
        return {"index": _bits(value.index), **{str(name): _bits(value[name]) for name in value.columns}}
    if isinstance(value, pd.Series | pd.Index):
        dtype = value.dtype
        kinds = (list(dtype.categories), dtype.ordered) if isinstance(dtype, pd.CategoricalDtype) else None
        return str(dtype), kinds, value.name, [repr(each) for each in value]
    if hasattr(value, "compute"):
        return "dask", value.chunks, _bits(value.compute())
    if hasattr(value, "to_memory"):
        return "backed", _bits(value.to_memory())
    if isinstance(value, ad.AnnData):
        return _snapshot(value)
    if sparse.issparse(value):
        parts = (value.data, value.indices, value.indptr) if value.format in ("csr", "csc") else (value.toarray(),)
        return f"{value.format} {isinstance(value, sparse.sparray)}", value.shape, [_bits(part) for part in parts]
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        return "array", str(value.dtype), value.shape, value.ravel().tolist()
    if isinstance(value, np.ndarray):  # an array of a view has a type of its own
        digest = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        return "array", value.dtype.descr, value.shape, digest
    if hasattr(value, "shape") and hasattr(value, "file"):  # h5py dataset of a backed object
        return "h5py", _bits(value[...])
    return type(value).__name__, repr(value)


@pytest.fixture(scope="session")
def planted_cite() -> Any:
    """200 cells of 3 classes with 40 genes and 6 proteins, two of which mark each class; do not change it."""
    return _planted_cite()


@pytest.fixture
def cite(planted_cite: Any) -> Any:
    """The same, the test's own."""
    return planted_cite.copy()


@pytest.fixture(scope="session")
def as_anndata() -> Callable[[Any], ad.AnnData]:
    """The RNA of a MuData, its proteins as a DataFrame in `.obsm`."""

    def convert(mdata: Any) -> ad.AnnData:
        adata, protein = mdata.mod["rna"].copy(), mdata.mod["protein"]
        adata.obsm["adt"] = pd.DataFrame(protein.X, index=adata.obs_names, columns=protein.var_names)
        return adata

    return convert


@pytest.fixture(scope="session")
def cite_model(planted_cite: Any) -> Any:
    """A CITE-seq autoencoder with a classifier, trained on the planted cells; never train it further."""
    import sims_tools as sims

    cells = planted_cite.copy()
    sims.models.CITEAutoencoder.setup_mudata(cells, labels_key="cell_type")
    model = sims.models.CITEAutoencoder(cells)
    model.train(20, batch_size=32, progress_bar=False)
    return model


def _planted_cite(n_cells: int = 200, random_state: int = 0) -> Any:
    import mudata

    import sims_tools as sims

    rna = sims.data.planted_cells(n_cells, n_genes=40, n_classes=3, random_state=random_state)
    rng = np.random.default_rng(random_state)
    rates = np.full((3, 6), 4.0)
    rates[np.arange(3).repeat(2), np.arange(6)] = 60.0
    codes = rna.obs["cell_type"].cat.codes.to_numpy()
    counts = rng.poisson(rates[codes] * rng.lognormal(0, 0.2, (n_cells, 1))).astype(np.int64)
    names = pd.DataFrame(index=[f"ADT_{i}" for i in range(6)])
    protein = ad.AnnData(counts, obs=pd.DataFrame(index=rna.obs_names), var=names)
    rna.X = rna.X.astype(np.int64)
    quiet = mudata.set_options(pull_on_update=False) if hasattr(mudata, "set_options") else nullcontext()
    with quiet:  # from mudata 0.4 on, columns of the modalities stay there in any case
        return mudata.MuData({"rna": rna, "protein": protein})
