"""Data modules of TileDB-SOMA and Lamin by scvi-tools, where these packages are installed.

Neither is in the test group. They were run with tiledbsoma 2.3.0, tiledbsoma-ml 0.1.0 and lamindb 2.12.1.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from sklearn.metrics import f1_score

import sims_tools as sims

QUICK: dict[str, Any] = {
    "max_epochs": 15, "learning_rate": 0.02, "weight_average": 0.9, "progress_bar": False, "n_d": 8, "n_a": 8,
    "n_members": 1, "sparsity": 0.0, "n_top_genes": 40,
}  # fmt: skip


@pytest.fixture(scope="module")
def atlas() -> ad.AnnData:
    return sims.data.planted_cells(n_cells=1800, n_genes=60, n_classes=3)[:900].copy()


def f1_of(model: Any) -> float:
    """On cells that nobody has seen, with genes in another order."""
    query = sims.data.planted_cells(n_cells=1800, n_genes=60, n_classes=3)[900:, np.roll(np.arange(60), 7)].copy()
    sims.tl.annotate(query, model, progress_bar=False)
    return f1_score(query.obs["cell_type"].astype(str), query.obs["sims"].astype(str), average="macro")


@pytest.fixture(scope="module")
def in_memory(atlas) -> float:
    return f1_of(sims.tl.sims_train(atlas.copy(), "cell_type", **QUICK))


@pytest.fixture(scope="module")
def query(atlas, tmp_path_factory) -> Any:
    soma, io = pytest.importorskip("tiledbsoma"), importlib.import_module("tiledbsoma.io")
    pytest.importorskip("tiledbsoma_ml")
    path = tmp_path_factory.mktemp("soma") / "atlas.soma"
    io.from_anndata(str(path), atlas.copy(), measurement_name="RNA")
    with soma.Experiment.open(str(path)) as experiment, experiment.axis_query("RNA") as query:
        yield query


def soma_module(query: Any) -> Any:
    from scvi.dataloaders import TileDBDataModule

    return TileDBDataModule(
        query, layer_name="data", label_keys=["cell_type"], batch_column_names=["donor"], train_size=0.9,
        split_seed=0, batch_size=64, seed=0,
    )  # fmt: skip


def test_tiledb_soma(query, atlas, in_memory):
    module = soma_module(query)
    module.var_names = query.var(column_names=["var_id"]).concat()["var_id"].to_pylist()
    model = sims.tl.sims_train(datamodule=module, **QUICK)
    assert set(model.genes) < set(atlas.var_names)
    assert model.metrics["macro_f1_validation"] > 0.95
    assert f1_of(model) == pytest.approx(in_memory, abs=0.03)


def test_tiledb_soma_by_the_class(query):
    """Its registry names genes by numbers."""
    module = soma_module(query)
    model = sims.models.SIMS(registry=module.registry, n_members=1, n_d=8, n_a=8)
    model.train(datamodule=module, max_epochs=2, progress_bar=False)
    assert list(model.genes[:3]) == ["0", "1", "2"]


@pytest.fixture(scope="module")
def lamin(tmp_path_factory) -> Any:
    pytest.importorskip("lamindb_setup")
    folder, patch = tmp_path_factory.mktemp("lamin"), pytest.MonkeyPatch()
    patch.setenv("LAMIN_SETTINGS_DIR", str(folder / "settings"))
    patch.chdir(folder)
    setup = importlib.import_module("lamindb_setup")
    setup.init(storage=str(folder / "store"), modules="")
    setup.settings.instance._is_on_hub = False  # which it would ask the internet
    yield importlib.import_module("lamindb")
    patch.undo()


def collection(lamin: Any, name: str, parts: list[ad.AnnData]) -> Any:
    artifacts = []
    for number, part in enumerate(parts):
        path = Path(f"{name}-{number}.h5ad")
        part.write_h5ad(path)
        artifacts.append(lamin.Artifact.from_anndata(str(path), key=path.name).save())
    return lamin.Collection(artifacts, key=name).save()


def lamin_module(training: Any, validation: Any) -> Any:
    from scvi.dataloaders import MappedCollectionDataModule

    return MappedCollectionDataModule(
        training, batch_key="donor", label_key="cell_type", collection_val=validation, batch_size=64,
        parallel=False,
    )  # fmt: skip


def test_lamin(lamin, atlas, in_memory):
    """Three files, one of which validates."""
    parts = [atlas[start::10].copy() for start in range(10)]
    training = collection(lamin, "training", [ad.concat(parts[:5]), ad.concat(parts[5:9])])
    module = lamin_module(training, collection(lamin, "validation", parts[9:]))
    model = sims.tl.sims_train(datamodule=module, **QUICK)
    assert model.metrics["macro_f1_validation"] > 0.95
    assert f1_of(model) == pytest.approx(in_memory, abs=0.03)
    less = parts[9][parts[9].obs["cell_type"] != "type_1"].copy()
    less.obs["cell_type"] = less.obs["cell_type"].cat.remove_unused_categories()
    other = lamin_module(training, collection(lamin, "less", [less]))
    with pytest.raises(ValueError, match="numbers the labels 'type_0', 'type_2', and its registry 'type_0', 'type_1'"):
        sims.tl.sims_train(datamodule=other, **QUICK)
