"""Finished runs are kept whole, found again, and never taken for those of another study."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sims_tools.data._labels import Labels
from sims_tools.studies._baselines import BASELINES
from sims_tools.studies._checkpoint import Checkpoint
from sims_tools.studies._folds import Fold
from sims_tools.studies._run import Run, execute

FOLD = Fold("fold 0 / a: b", np.arange(120), np.arange(120, 200), np.full(80, "all", dtype=object))


@pytest.fixture
def run() -> Run:
    return Run(BASELINES["logistic_regression"]("lr"), FOLD)


def test_a_run_is_found_again_to_the_last_digit(study_cells, run, tmp_path):
    result = execute(run, study_cells, 1)
    checkpoint = Checkpoint(tmp_path / "new" / "folder", study_cells)
    assert checkpoint.read(run) is None
    checkpoint.write(run, result)
    assert Checkpoint(tmp_path / "new" / "folder", study_cells).read(run) == result
    files = list((tmp_path / "new" / "folder").iterdir())
    assert len(files) == 1
    assert files[0].name.startswith("lr-fold-0-a-b-")


def test_missing_scores_come_back(study_cells, run, tmp_path):
    Checkpoint(tmp_path, study_cells).write(run, {"scores": [{"ece": float("nan")}]})
    assert np.isnan(Checkpoint(tmp_path, study_cells).read(run)["scores"][0]["ece"])


def test_runs_of_another_study_are_refused_by_name(study_cells, run, tmp_path):
    Checkpoint(tmp_path, study_cells).write(run, {"scores": []})
    counts = study_cells.matrix.copy()
    counts.data[0] += 1
    codes = study_cells.labels.codes.copy()
    codes[0] = (codes[0] + 1) % 3
    others = {
        "cells": (replace(study_cells, matrix=counts), run),
        "labels": (replace(study_cells, labels=Labels(codes, study_cells.labels.classes)), run),
        "genes": (replace(study_cells, genes=study_cells.genes[::-1]), run),
        "parameters": (study_cells, replace(run, method=BASELINES["logistic_regression"]("lr", {"C": 2}))),
        "method": (study_cells, replace(run, method=BASELINES["linear_svm"]("lr"))),
        "seed": (study_cells, replace(run, fold=replace(FOLD, seed=1))),
        "folds": (study_cells, replace(run, fold=replace(FOLD, train=FOLD.train[1:]))),
    }
    named = {"labels": "cells", "genes": "cells", "method": "parameters", "seed": "parameters"}
    for what, (cells, other) in others.items():
        with pytest.raises(ValueError, match=f"of another study: {named.get(what, what)} differ"):
            Checkpoint(tmp_path, cells).read(other)


def test_another_version_is_refused(study_cells, run, tmp_path, monkeypatch):
    Checkpoint(tmp_path, study_cells).write(run, {"scores": []})
    monkeypatch.setattr("sims_tools.studies._checkpoint.__version__", "99.0")
    with pytest.raises(ValueError, match="version differ"):
        Checkpoint(tmp_path, study_cells).read(run)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"digests": {}}'])
def test_a_damaged_file_is_named(study_cells, run, tmp_path, text):
    Checkpoint(tmp_path, study_cells).write(run, {"scores": []})
    next(tmp_path.iterdir()).write_text(text)
    with pytest.raises(ValueError, match="is damaged"):
        Checkpoint(tmp_path, study_cells).read(run)


def test_an_interrupted_write_leaves_nothing(study_cells, run, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sims_tools._whole_file.os.replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Checkpoint(tmp_path, study_cells).write(run, {"scores": []})
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(study_cells, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder"):
        Checkpoint(tmp_path / "file", study_cells)


def test_without_a_folder_nothing_is_kept(study_cells, run):
    checkpoint = Checkpoint(None, study_cells)
    checkpoint.write(run, {"scores": []})
    assert checkpoint.read(run) is None
