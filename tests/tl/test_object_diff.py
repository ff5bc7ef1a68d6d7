"""Before and after: nothing on the user's object changes but the documented keys."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import sims_tools as sims

QUIET = {"progress_bar": False}


def _digest(adata: Any) -> str | None:
    return hashlib.sha256(Path(adata.filename).read_bytes()).hexdigest() if adata.isbacked else None


def _parent(adata: Any) -> Any:
    return adata._adata_ref if adata.is_view else None


def test_training_adds_its_two_entries_in_every_storage(cells, dress, store, snapshot, changes, small):
    adata = store(dress(cells))
    parent, file = _parent(adata), _digest(adata)
    before, above = snapshot(adata), None if parent is None else snapshot(parent)
    sims.tl.sims_train(adata, "cell_type", max_epochs=1, **small)
    assert changes(before, snapshot(adata)) == {"obs/sims_split", "uns/sims"}
    assert not adata.is_view
    assert _digest(adata) == file
    assert parent is None or changes(above, snapshot(parent)) == set()


def test_annotation_adds_its_entries_in_every_storage(cells, dress, store, snapshot, changes, model):
    adata = store(dress(cells))
    parent, file = _parent(adata), _digest(adata)
    before, above = snapshot(adata), None if parent is None else snapshot(parent)
    sims.tl.annotate(adata, model, embedding=True, top_k=2, groupby="leiden", reject=0.1, prediction_sets=0.2, **QUIET)
    assert changes(before, snapshot(adata)) == _written(
        "sims", masks=True, embedding=True, top_k=2, groupby="leiden", reject=0.1, prediction_sets=0.2
    )
    assert not adata.is_view
    assert _digest(adata) == file
    assert parent is None or changes(above, snapshot(parent)) == set()


def _written(key: str, **options: Any) -> set[str]:
    """The documented keys."""
    columns = ("", "_confidence", "_second", "_margin")
    keys = {*(f"obs/{key}{column}" for column in columns), f"obsm/{key}_prob", f"uns/{key}"}
    if options.get("prediction_sets"):
        keys |= {f"obs/{key}_set_size", f"obsm/{key}_sets"}
    if options.get("reject"):
        keys.add(f"obs/{key}_novelty")
    if options["masks"]:
        keys.add(f"obsm/{key}_masks")
    if options["embedding"]:
        keys.add(f"obsm/X_{key}")
    if options["groupby"]:
        keys |= {f"obs/{key}_majority", f"obs/{key}_majority_share"}
    for rank in range(2, (options["top_k"] or 1) + 1):
        keys |= {f"obs/{key}_top{rank}", f"obs/{key}_top{rank}_prob"}
    return keys


COMBINATIONS = [
    dict(zip(("masks", "embedding", "top_k", "groupby", "min_confidence", "reject"), values, strict=True))
    for values in itertools.product(
        (True, False), (True, False), (None, 1, 3), (None, "leiden"), (None, 0.9), (None, 0.2)
    )
]


@pytest.mark.parametrize("key", ["sims", "my annotation"])
def test_annotation_adds_what_was_asked_for_and_nothing_else(cells, dress, snapshot, changes, model, key):
    base = dress(cells)
    for options in COMBINATIONS:
        adata = base.copy()
        before = snapshot(adata)
        sims.tl.annotate(adata, model, key_added=key, **options, **QUIET)
        assert changes(before, snapshot(adata)) == _written(key, **options), options


def test_the_matrix_stays_the_same_object(cells, model, small):
    matrix = cells.X
    sims.tl.annotate(cells, model, **QUIET)
    sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    assert cells.X is matrix


def test_log1p_input_is_not_changed_in_place(cells, snapshot, changes, small):
    cells.X.data = np.log1p(cells.X.data / 7)
    before = snapshot(cells)
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    sims.tl.annotate(cells, model, key_added="other", **QUIET)
    assert changes(before, snapshot(cells)) == {"obs/sims_split", "uns/sims"} | _written(
        "other", masks=True, embedding=False, top_k=None, groupby=None
    )


def test_training_leaves_labels_of_the_user_as_they_are(cells, snapshot, changes, small):
    cells.obs["label"] = pd.Categorical(
        [None, "Unknown", *cells.obs["cell_type"].iloc[2:]],
        categories=["unused", "type_2", "Unknown", "type_1", "type_0"],
    )
    before = snapshot(cells)
    sims.tl.sims_train(cells, "label", split_by="donor", key_added="again", max_epochs=1, **small)
    assert changes(before, snapshot(cells)) == {"obs/again_split", "uns/again"}


def test_entries_that_merely_look_like_ours_stay(cells, snapshot, changes, model):
    """There is no earlier annotation, so nothing of that name is ours to remove."""
    cells.obsm["X_sims"] = np.ones((cells.n_obs, 2))
    cells.obs["sims_majority"] = "mine"
    cells.obs["sims_top2"] = "mine, too"
    before = snapshot(cells)
    sims.tl.annotate(cells, model, **QUIET)
    assert changes(before, snapshot(cells)) == _written("sims", masks=True, embedding=False, top_k=None, groupby=None)


def test_annotating_again_with_less_removes_what_is_stale_and_nothing_else(cells, dress, snapshot, changes, model):
    adata = dress(cells)
    adata.obs["sims_of_mine"] = "mine"
    adata.obsm["sims_pca"] = np.ones((adata.n_obs, 2))
    adata.obs["sims_top_gene"] = "mine"
    before = snapshot(adata)
    sims.tl.annotate(adata, model, embedding=True, top_k=3, groupby="leiden", min_confidence=0.9, **QUIET)
    sims.tl.annotate(adata, model, masks=False, **QUIET)
    assert changes(before, snapshot(adata)) == _written("sims", masks=False, embedding=False, top_k=None, groupby=None)


def test_annotating_again_alike_changes_nothing(cells, snapshot, changes, model):
    sims.tl.annotate(cells, model, embedding=True, top_k=2, **QUIET)
    before = snapshot(cells)
    sims.tl.annotate(cells, model, embedding=True, top_k=2, **QUIET)
    assert changes(before, snapshot(cells)) == set()


def test_a_second_key_stands_beside_the_first(cells, snapshot, changes, model):
    sims.tl.annotate(cells, model, embedding=True, top_k=2, **QUIET)
    before = snapshot(cells)
    sims.tl.annotate(cells, model, key_added="second", masks=False, **QUIET)
    assert changes(before, snapshot(cells)) == _written(
        "second", masks=False, embedding=False, top_k=None, groupby=None
    )


@pytest.mark.parametrize("as_view", [False, True])
def test_a_copy_leaves_the_original_alone(cells, dress, snapshot, changes, model, as_view):
    adata = dress(cells)
    adata = adata[::2] if as_view else adata
    before = snapshot(adata)
    annotated = sims.tl.annotate(adata, model, copy=True, **QUIET)
    assert changes(before, snapshot(adata)) == set()
    assert adata.is_view == as_view
    assert changes(before, snapshot(annotated)) == _written(
        "sims", masks=True, embedding=False, top_k=None, groupby=None
    )


def test_in_place_nothing_is_returned(cells, model):
    assert sims.tl.annotate(cells, model, **QUIET) is None


def test_no_file_is_left_in_the_working_directory(cells, model, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sims.tl.sims_train(cells, "cell_type", max_epochs=1, **small)
    sims.tl.annotate(cells, model, **QUIET)
    assert list(tmp_path.iterdir()) == []
