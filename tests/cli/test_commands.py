"""The console command: what it writes, what it says, how it exits."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
from click.testing import CliRunner

import sims_tools as sims
from sims_tools.cli import main


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli")
    cells = sims.data.planted_cells(240, 60, 3, random_state=1)
    cells[:160].copy().write_h5ad(folder / "ref.h5ad")
    query = cells[160:].copy()
    del query.obs["cell_type"]
    query.write_h5ad(folder / "query.h5ad")
    return folder


@pytest.fixture(scope="module")
def model(files):
    done = _run("train", files / "ref.h5ad", "--labels-key", "cell_type", "-o", files / "model", "--max-epochs", "3")
    assert done.exit_code == 0, done.output
    return files / "model", done


def _run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def test_train_saves_a_model_and_reports_scores(model):
    folder, done = model
    assert sims.models.load(folder).classes.tolist() == ["type_0", "type_1", "type_2"]
    assert "accuracy on validation cells" in done.stdout


def test_training_goes_on_from_a_checkpoint(files, model):
    options = ("--labels-key", "cell_type", "--max-epochs", "3", "--checkpoint", files / "kept")
    done = _run("train", files / "ref.h5ad", *options, "-o", files / "first")
    assert done.exit_code == 0, done.output
    again = _run("train", files / "ref.h5ad", *options, "-o", files / "second")
    assert again.exit_code == 0, again.output
    for name in ("model.json", "weights.safetensors"):
        content = {(folder / name).read_bytes() for folder in (model[0], files / "first", files / "second")}
        assert len(content) == 1
    other = _run("train", files / "ref.h5ad", *options, "--seed", "1", "-o", files / "third")
    assert other.exit_code == 1
    assert "holds another training" in other.stderr


def test_annotate_writes_an_annotated_copy(files, model):
    before = (files / "query.h5ad").read_bytes()
    out = files / "new" / "out.h5ad"
    options = ("--top-k", 2, "--groupby", "donor", "--reject", 0.2, "--prediction-sets", 0.2)
    done = _run("annotate", files / "query.h5ad", "--model", model[0], "-o", out, *options)
    assert done.exit_code == 0, done.output
    annotated = anndata.read_h5ad(out)
    direct = anndata.read_h5ad(files / "query.h5ad")
    asked = {"top_k": 2, "groupby": "donor", "reject": 0.2, "prediction_sets": 0.2}
    sims.tl.annotate(direct, model[0], **asked, progress_bar=False)
    assert list(annotated.obs) == list(direct.obs)
    np.testing.assert_array_equal(annotated.obsm["sims_prob"], direct.obsm["sims_prob"])
    assert (files / "query.h5ad").read_bytes() == before
    assert [each.name for each in out.parent.iterdir()] == ["out.h5ad"]


@pytest.mark.parametrize("name", ["stored.h5ad", "stored.zarr"])
def test_annotate_appends_to_a_store_or_writes_results_alone(files, model, name):
    store, results = files / name, files / f"results_{name}"
    query = anndata.read_h5ad(files / "query.h5ad")
    query.write_zarr(store) if store.suffix == ".zarr" else query.write_h5ad(store)
    read = anndata.read_zarr if store.suffix == ".zarr" else anndata.read_h5ad
    options = ("--model", model[0], "--masks", "top", "--n-mask-features", 3, "--no-probabilities")
    done = _run("annotate", store, "--in-place", "--resume", *options)
    assert done.exit_code == 0, done.output
    assert "80 cells annotated" in done.output
    annotated = read(store)
    assert annotated.obsm["sims_masks"].getnnz(1).max() <= 3
    assert "sims_prob" not in annotated.obsm
    for overwrite in ((), ("--overwrite",)):
        done = _run("annotate", store, "--results", results, *options, *overwrite)
        assert done.exit_code == 0, done.output
        assert list(read(results).obs["sims"]) == list(annotated.obs["sims"])
    assert read(results).n_vars == 0
    assert "exists" in _run("annotate", store, "--results", results, *options).stderr
    assert "one of --output" in _run("annotate", store, "--in-place", "--results", results, *options).stderr
    assert "one of --output" in _run("annotate", store, *options).stderr


def test_training_streams_and_balances_as_asked(files):
    options = ("--labels-key", "cell_type", "--max-epochs", "1", "--stream", "always", "--sampling", "balanced")
    done = _run("train", files / "ref.h5ad", *options, "-o", files / "streamed")
    assert done.exit_code == 0, done.output
    expected = sims.tl.train(
        files / "ref.h5ad", "cell_type", max_epochs=1, stream=True, sampling="balanced", progress_bar=False
    )
    expected.save(files / "streamed by tl")
    weights = {(files / name / "weights.safetensors").read_bytes() for name in ("streamed", "streamed by tl")}
    assert len(weights) == 1


def test_urls_are_annotated_into_results(files, model):
    anndata.read_h5ad(files / "query.h5ad").write_zarr(files / "far.zarr")
    url, options = f"file://{files / 'far.zarr'}", ("--model", model[0], "--part-size", 512, "--masks", "none")
    done = _run("annotate", url, *options, "--results", files / "far.h5ad")
    assert done.exit_code == 0, done.output
    assert "80 cells annotated" in done.stdout
    done = _run("annotate", url, *options, "--in-place")
    assert done.exit_code == 1
    assert "is remote" in done.stderr


def test_quiet_says_nothing(files, model):
    done = _run(
        "annotate", files / "query.h5ad", "--model", model[0], "-o", files / "quiet.h5ad", "--quiet", "--no-masks"
    )
    assert (done.exit_code, done.output) == (0, "")
    assert "sims_masks" not in anndata.read_h5ad(files / "quiet.h5ad").obsm


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["annotate", "query.h5ad", "--model", "nowhere", "-o", "out.h5ad"], "no model folder"),
        (["annotate", "query.h5ad", "--model", "model", "-o", "query.h5ad"], "--overwrite"),
        (["annotate", "query.h5ad", "--model", "model", "-o", "x.h5ad", "--class", "nonsense"], "nonsense"),
        (["train", "ref.h5ad", "--labels-key", "cell_typ", "-o", "m2"], "Did you mean 'cell_type'?"),
        (["train", "ref.h5ad", "--labels-key", "cell_type", "-o", "model"], "--overwrite"),
        (["train", "ref.h5ad", "--labels-key", "cell_type", "-o", "m2", "--preset", "best"], "preset"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_1(files, model, monkeypatch, args, said):
    monkeypatch.chdir(files)
    before = sorted(each.name for each in files.iterdir())
    done = _run(*args)
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(each.name for each in files.iterdir()) == before


@pytest.mark.parametrize(
    "args",
    [
        ["train", "ref.h5ad", "-o", "m2"],
        ["train", "absent.h5ad", "--labels-key", "cell_type", "-o", "m2"],
        ["train", "ref.h5ad", "--labels-key", "cell_type", "-o", "m2", "--n-top-genes", "some"],
        ["anotate"],
    ],
)
def test_wrong_usage_is_exit_code_2(files, monkeypatch, args):
    monkeypatch.chdir(files)
    assert _run(*args).exit_code == 2


def test_ctrl_c_before_the_first_epoch_is_exit_code_130(files, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sims.tl, "train", interrupted)
    done = _run("train", files / "ref.h5ad", "--labels-key", "cell_type", "-o", files / "m3")
    assert done.exit_code == 130
    assert not (files / "m3").exists()


def test_ctrl_c_later_saves_the_model_so_far(files, monkeypatch):
    real = sims.tl.train

    def interrupted(*args, **options):
        trained = real(*args, **options)
        trained.was_interrupted_ = True
        return trained

    monkeypatch.setattr(sims.tl, "train", interrupted)
    done = _run("train", files / "ref.h5ad", "--labels-key", "cell_type", "-o", files / "m4", "--max-epochs", "1")
    assert done.exit_code == 130
    assert sims.models.load(files / "m4").is_trained_


def test_demo_does_the_whole_job(tmp_path):
    done = _run("demo", "-o", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    for said in ("accuracy", "macro F1", "logistic regression", "CD19+ B", "Trained in"):
        assert said in done.stdout
    annotated = anndata.read_h5ad(tmp_path / "demo" / "annotated.h5ad")
    accuracy = (annotated.obs["sims"].astype(str) == annotated.obs["cell_type"].astype(str)).mean()
    assert accuracy > 0.7
    assert annotated.uns["sims"]["gene_match"]["n_matched"] < annotated.uns["sims"]["gene_match"]["n_model_genes"]
    assert sims.models.load(tmp_path / "demo" / "model").is_trained_
    assert (tmp_path / "demo" / "feature_masks.png").stat().st_size > 10_000


def test_another_architecture_is_trained_and_its_name_is_the_key(files):
    done = _run(
        "train", files / "ref.h5ad", "--labels-key", "cell_type", "--model", "actinn", "--max-epochs", "1",
        "-o", files / "actinn",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "ACTINN model" in done.output
    done = _run("annotate", files / "query.h5ad", "--model", files / "actinn", "-o", files / "called.h5ad")
    assert done.exit_code == 0, done.output
    called = anndata.read_h5ad(files / "called.h5ad")
    assert "actinn" in called.obs
    assert "actinn_masks" not in called.obsm
    wrong = _run("train", files / "ref.h5ad", "--labels-key", "cell_type", "--model", "acttin", "-o", files / "none")
    assert wrong.exit_code != 0
    assert "Did you mean 'actinn'" in wrong.output


def test_training_goes_on_from_a_saved_model_with_the_genes_asked_for(files, model):
    out = files / "continued"
    done = _run(
        "train", files / "ref.h5ad", "--labels-key", "cell_type", "--init-from", model[0], "--max-epochs", "1",
        "--gene-choice", "highly_variable", "--n-top-genes", "30", "-o", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    first, second = sims.models.load(model[0]), sims.models.load(out)
    assert set(first.genes) <= set(second.genes)  # what the earlier model reads stays
    assert second.init_from_["model"] == "sims"
