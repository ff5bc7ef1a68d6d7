"""Saved models: plain data, whole or not at all, the same bits back."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import sims_tools as sims
from sims_tools.models import _persist

FILES = {"model.json", "weights.safetensors"}


def header(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.json").read_text(encoding="utf-8"))


def rewrite(folder: Path, **changes: Any) -> None:
    """Edit the description and give it a digest that fits."""
    content = header(folder) | changes
    content["header_sha256"] = _persist._header_digest(content)
    (folder / "model.json").write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The saved model, to be spoilt."""
    return shutil.copytree(folder, tmp_path / "copy")


def test_predictions_are_the_same_bits(cells, model, folder):
    loaded = sims.models.load(folder)
    assert type(loaded) is sims.models.SIMS
    np.testing.assert_array_equal(loaded.predict(cells, soft=True), model.predict(cells, soft=True))
    np.testing.assert_array_equal(loaded.get_latent_representation(cells), model.get_latent_representation(cells))
    first, second = (sims.tl.annotate(cells, each, copy=True, progress_bar=False) for each in (model, loaded))
    assert (first.obsm["sims_masks"] != second.obsm["sims_masks"]).nnz == 0
    np.testing.assert_array_equal(first.obsm["sims_prob"], second.obsm["sims_prob"])


def test_everything_the_model_knows_comes_back(model, folder):
    loaded = sims.models.load(folder)
    assert loaded.is_trained_
    assert repr(loaded) == repr(model)
    for name in ("classes", "genes", "gene_weights"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    assert loaded.params_ == model.params_
    assert loaded.training_ == model.training_
    assert loaded.best_epoch_ == model.best_epoch_
    assert loaded.metrics == model.metrics
    assert set(loaded.history_by_epoch) == set(model.history_by_epoch)
    for name, values in model.history_by_epoch.items():
        np.testing.assert_array_equal(loaded.history_by_epoch[name], values)
    first, second = model.module.state_dict(), loaded.module.state_dict()
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_saving_what_was_loaded_gives_the_same_files(folder, tmp_path):
    sims.models.load(folder).save(tmp_path / "again")
    first, second = header(folder), header(tmp_path / "again")
    assert first == second
    assert (folder / "weights.safetensors").read_bytes() == (tmp_path / "again" / "weights.safetensors").read_bytes()


def test_the_folder_holds_two_files(folder):
    assert {path.name for path in folder.iterdir()} == FILES


def test_the_description_is_readable(model, folder):
    text = (folder / "model.json").read_text(encoding="utf-8")
    found = header(folder)
    assert len(text.splitlines()) > 20
    assert found["format_version"] == 1
    assert found["model"] == "sims"
    assert found["classes"] == ["type_0", "type_1", "type_2"]
    assert found["genes"] == [f"gene_{i}" for i in range(60)]
    assert found["setup"]["labels_key"] == "cell_type"
    assert found["params"]["network"]["n_d"] == 8
    assert (
        found["versions"]["torch"] == torch.__version__.split("+")[0] or found["versions"]["torch"] == torch.__version__
    )
    assert found["versions"]["sims-tools"] == sims.__version__
    assert "SIMS" in found["citation"]
    assert "log1p" in found["transform"]["normalisation"]
    assert found["metrics"] == model.metrics
    assert len(found["history"]["train_loss"]) == len(model.history_by_epoch["epoch"]) > 1


def test_names_beyond_ascii_stay_readable(cells, small, tmp_path):
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories(["naïve T", "γδ/αβ", 'the "rest"'])
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    model.save(tmp_path / "model")
    assert "γδ/αβ" in (tmp_path / "model" / "model.json").read_text(encoding="utf-8")
    assert list(sims.models.load(tmp_path / "model").classes) == list(model.classes)


def test_nothing_is_pickled(folder, monkeypatch):
    weights = (folder / "weights.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", weights[:8])
    tensors = json.loads(weights[8 : 8 + length])
    ends = [entry["data_offsets"][1] for name, entry in tensors.items() if name != "__metadata__"]
    assert 8 + length + max(ends) == len(weights)
    for path in folder.iterdir():
        assert not path.read_bytes().startswith((b"\x80", b"PK", b"\x1f\x8b"))

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("unpickled")

    for owner, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load"), (np, "load")):
        monkeypatch.setattr(owner, name, refuse)
    assert sims.models.load(folder).is_trained_


@pytest.mark.parametrize("kind", [str, Path])
def test_folders_are_made_with_their_parents(model, cells, tmp_path, kind):
    target = tmp_path / "a" / "b c" / "model"
    model.save(kind(target))
    np.testing.assert_array_equal(sims.models.load(kind(target)).predict(cells), model.predict(cells))
    assert {path.name for path in target.parent.iterdir()} == {"model"}


def test_relative_and_slashed_names(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("my_model/")
    assert {path.name for path in tmp_path.iterdir()} == {"my_model"}
    assert sims.models.SIMS.load("./my_model").is_trained_


def test_a_model_is_replaced_only_where_asked(model, folder, copy):
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(copy)
    rewrite(copy, citation="old")
    model.save(copy, overwrite=True)
    assert header(copy) == header(folder)
    assert {path.name for path in copy.iterdir()} == FILES
    assert {path.name for path in copy.parent.iterdir()} == {"copy"}


def test_an_empty_folder_is_taken(model, tmp_path):
    (tmp_path / "empty").mkdir()
    model.save(tmp_path / "empty")
    assert {path.name for path in (tmp_path / "empty").iterdir()} == FILES


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_a_model_is_never_replaced(model, tmp_path, overwrite):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("text")
    for name in ("project", "file"):
        with pytest.raises(FileExistsError, match=name):
            model.save(tmp_path / name, overwrite=overwrite)
    assert (tmp_path / "project" / "thesis.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "text"
    assert {path.name for path in tmp_path.iterdir()} == {"project", "file"}


@pytest.mark.parametrize("description", ["ours", "another tool's"])
def test_a_file_of_the_user_beside_the_model_survives_a_replacement(model, copy, description):
    """Refused or kept, but not deleted: a `model.json` does not make the whole folder ours."""
    (copy / "notes.txt").write_text("years of work")
    if description != "ours":
        (copy / "weights.safetensors").unlink()
        (copy / "model.json").write_text('{"format": "layers-model"}')
    with contextlib.suppress(FileExistsError):
        model.save(copy, overwrite=True)
    assert (copy / "notes.txt").read_text() == "years of work"


def test_an_untrained_model_is_not_saved(cells, tmp_path):
    sims.models.SIMS.setup_anndata(cells, "cell_type")
    with pytest.raises(RuntimeError, match="not trained"):
        sims.models.SIMS(cells, n_d=2, n_a=2).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_parameters_may_be_numpy_numbers(cells, small, tmp_path):
    """As they come out of a sweep; not being able to save is found out after the training."""
    options = small | {
        "n_d": np.int64(4), "gamma": np.float32(1.5), "learning_rate": np.float64(0.01), "batch_size": np.int32(64),
        "random_state": np.int64(3), "gene_dropout": np.float64(0.1), "scale_genes": np.bool_(True),
    }  # fmt: skip
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **options)
    model.save(tmp_path / "model")
    loaded = sims.models.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(cells, soft=True), model.predict(cells, soft=True))


# --- whole or not at all ----------------------------------------------------------------------------------------------


def _failing_weights(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    write = Path.write_bytes

    def fail(path: Path, content: bytes) -> int:
        if path.name != "weights.safetensors":
            return write(path, content)
        write(path, content[:20])
        raise error("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)


def _failing_description(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
    write = Path.write_text

    def fail(path: Path, text: str, *args: Any, **options: Any) -> int:
        if path.name != "model.json":
            return write(path, text, *args, **options)
        write(path, text[:20])
        raise error("disk full")

    monkeypatch.setattr(Path, "write_text", fail)


def _failing_rename(nth: int) -> Any:
    def patch(monkeypatch: pytest.MonkeyPatch, error: type[BaseException]) -> None:
        calls, renames = [], {name: getattr(Path, name) for name in ("rename", "replace")}

        def failing(name: str) -> Any:
            def rename(path: Path, target: Any) -> Any:
                calls.append(path)
                if len(calls) == nth:
                    raise error("disk full")
                return renames[name](path, target)

            return rename

        for name in renames:
            monkeypatch.setattr(Path, name, failing(name))

    return patch


STAGES = {
    "weights": _failing_weights,
    "description": _failing_description,
    "first rename": _failing_rename(1),
    "second rename": _failing_rename(2),
}


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("stage", [name for name in STAGES if name != "second rename"])
def test_a_failed_save_leaves_nothing_behind(model, tmp_path, monkeypatch, stage, error):
    with monkeypatch.context() as patched:
        STAGES[stage](patched, error)
        with pytest.raises(error, match="disk full"):
            model.save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
@pytest.mark.parametrize("stage", STAGES)
def test_a_failed_replacement_leaves_the_old_model(model, folder, copy, monkeypatch, stage, error):
    with monkeypatch.context() as patched:
        STAGES[stage](patched, error)
        with pytest.raises(error, match="disk full"):
            model.save(copy, overwrite=True)
    assert [path.name for path in copy.parent.iterdir()] == ["copy"]
    for name in FILES:
        assert (copy / name).read_bytes() == (folder / name).read_bytes()


# --- folders that cannot be read --------------------------------------------------------------------------------------


@pytest.fixture(params=["load", "SIMS.load"])
def load(request: pytest.FixtureRequest) -> Any:
    return sims.models.load if request.param == "load" else sims.models.SIMS.load


def test_a_missing_folder(load, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        load(tmp_path / "nowhere")


def test_a_file_instead_of_a_folder(load, folder):
    with pytest.raises(FileNotFoundError, match=r"model.json. is not a model folder"):
        load(folder / "model.json")


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_missing_file(load, copy, name):
    (copy / name).unlink()
    with pytest.raises(FileNotFoundError, match=name):
        load(copy)


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_a_truncated_file(load, copy, name, size):
    content = (copy / name).read_bytes().rstrip()
    (copy / name).write_bytes(content[:size])
    with pytest.raises(ValueError, match=rf"{name}.*(damaged|truncated|digest)"):
        load(copy)


def test_a_flipped_bit(load, copy):
    content = bytearray((copy / "weights.safetensors").read_bytes())
    content[-5] ^= 1
    (copy / "weights.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="weights.safetensors.*digest"):
        load(copy)


@pytest.mark.parametrize("edit", [{"classes": ["type_1", "type_0", "type_2"]}, {"citation": "me"}, {"extra": 1}])
def test_an_edited_description(load, copy, edit):
    (copy / "model.json").write_text(json.dumps(header(copy) | edit))
    with pytest.raises(ValueError, match="edited or damaged"):
        load(copy)


def test_the_description_may_be_formatted_otherwise(load, copy):
    (copy / "model.json").write_text(json.dumps(header(copy), indent=4, sort_keys=True))
    assert load(copy).is_trained_


@pytest.mark.parametrize("text", ["", "not json", "[1, 2]", "null", '"model"', "{}", '{"a": 1}'])
def test_a_description_that_is_none(load, copy, text):
    (copy / "model.json").write_text(text)
    with pytest.raises(ValueError, match="model.json"):
        load(copy)


@pytest.mark.parametrize("version", [0, 2, 99, "1", None])
def test_an_unknown_format_version(load, copy, version):
    rewrite(copy, format_version=version)
    with pytest.raises(ValueError, match=rf"format version {version!r}.*[Uu]pdate sims-tools"):
        load(copy)


def test_weights_of_another_model(load, cells, small, copy, tmp_path):
    sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "weights.safetensors", copy / "weights.safetensors")
    with pytest.raises(ValueError, match="weights.safetensors.*digest"):
        load(copy)


def test_an_unknown_architecture(load, copy):
    rewrite(copy, model="simz")
    with pytest.raises(ValueError, match="simz.*sims"):
        load(copy)


def test_a_description_whose_digest_fits_but_whose_weights_do_not(load, copy):
    """Made by hand or by a broken tool: an error, and never a model that is half loaded."""
    found = header(copy)
    rewrite(copy, genes=found["genes"][:-1])
    with pytest.raises((ValueError, RuntimeError), match="size mismatch|shape|weights"):
        load(copy)
