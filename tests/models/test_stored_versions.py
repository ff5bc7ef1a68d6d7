"""Models that earlier versions of the package saved are read for ever, and answer as they did."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

import sims_tools as sims

DATA = Path(__file__).with_name("data")
STORED = sorted(path.name for path in DATA.glob("*_v*") if path.is_dir())


def test_there_is_a_stored_model_of_the_present_format():
    found = [json.loads((DATA / name / "model" / "model.json").read_text(encoding="utf-8")) for name in STORED]
    assert 1 in [each["format_version"] for each in found]


@pytest.mark.parametrize("name", STORED)
def test_a_stored_model_gives_the_answers_it_gave(name):
    expected = json.loads((DATA / name / "expected.json").read_text(encoding="utf-8"))
    model = sims.models.load(DATA / name / "model", accelerator="cpu")
    assert list(model.classes) == expected["classes"]
    np.testing.assert_allclose(model.gene_weights, expected["gene_weights"], atol=1e-6)
    query = AnnData(np.array(expected["counts"], dtype=np.float32), var=pd.DataFrame(index=expected["genes"]))
    sims.tl.annotate(query, model, embedding=True, progress_bar=False)
    assert list(query.obs["sims"].astype(str)) == expected["labels"]
    np.testing.assert_allclose(query.obsm["sims_prob"], expected["probabilities"], atol=1e-6)
    np.testing.assert_allclose(query.obsm["sims_masks"].toarray(), expected["masks"], atol=1e-6)
    np.testing.assert_allclose(query.obsm["X_sims"], expected["embedding"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", STORED)
def test_the_stored_answers_can_tell_a_wrong_model_from_a_right_one(name):
    expected = json.loads((DATA / name / "expected.json").read_text(encoding="utf-8"))
    prob, masks = np.array(expected["probabilities"]), np.array(expected["masks"])
    assert len(set(expected["labels"])) == 4
    assert "Unknown" in expected["labels"]
    assert prob.std(0).min() > 0.1
    assert masks.max(1)[:-1].min() > 2 / masks.shape[1]
