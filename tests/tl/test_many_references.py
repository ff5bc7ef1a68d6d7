"""Training on many references: the same as on one joined by hand, and what differs between them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

import sims_tools as sims


@pytest.fixture
def quick(small: dict[str, Any]) -> dict[str, Any]:
    return small | {"max_epochs": 2}


@pytest.fixture(scope="module")
def two() -> tuple[ad.AnnData, ad.AnnData]:
    """Two references with the same 40 genes in another order; do not change them."""
    whole = sims.data.planted_cells(n_cells=150, n_genes=40, n_classes=3)
    one, other = whole[:90].copy(), whole[90:, ::-1].copy()
    other.obs = other.obs.rename(columns={"cell_type": "annotation"})
    return one, other


def joined(one: ad.AnnData, other: ad.AnnData) -> ad.AnnData:
    """The same cells joined by hand."""
    other = other.copy()
    other.obs = other.obs.rename(columns={"annotation": "cell_type"})
    return ad.concat([one, other])


def same(one: Any, other: Any) -> bool:
    """Whether two models have the same genes, classes and weights, to the bit."""
    mine, theirs = one.module.state_dict(), other.module.state_dict()
    return (
        list(one.genes) == list(other.genes)
        and list(one.classes) == list(other.classes)
        and mine.keys() == theirs.keys()
        and all(torch.equal(value, theirs[name]) for name, value in mine.items())
    )


@pytest.mark.parametrize("choice", [{"n_top_genes": 20}, {"gene_choice": "all"}])
def test_a_list_is_the_object_joined_by_hand_to_the_bit(two, quick, choice):
    by_hand = sims.tl.sims_train(joined(*two), "cell_type", **quick, **choice)
    one, other = two[0].copy(), two[1].copy()
    other.X = sparse.csc_matrix(other.X)
    model = sims.tl.sims_train([one, other], ["cell_type", "annotation"], **quick, **choice)
    assert same(by_hand, model)
    assert model.confidence_.temperature == by_hand.confidence_.temperature


def test_files_are_read_where_they_lie_and_views_and_backed_objects_too(tmp_path, two, quick):
    one, other = two
    by_hand = sims.tl.sims_train(joined(*two), "cell_type", n_top_genes=20, **quick)
    one.write_h5ad(tmp_path / "one.h5ad")
    other.layers["counts"], other_x = other.X, other.X
    other.write_zarr(tmp_path / "other.zarr")
    del other.layers["counts"]
    assert other.X is other_x
    keys = {"one": "cell_type", "other": "annotation"}
    paths = {"one": tmp_path / "one.h5ad", "other": str(tmp_path / "other.zarr")}
    model = sims.tl.sims_train(paths, keys, n_top_genes=20, layer={"one": None, "other": "counts"}, **quick)
    assert same(by_hand, model)
    wide = ad.concat([other, other[:5]])
    mixed = [ad.read_h5ad(tmp_path / "one.h5ad", backed="r"), wide[:60]]
    assert same(by_hand, sims.tl.sims_train(mixed, list(keys.values()), n_top_genes=20, **quick))
    assert mixed[0].isbacked
    assert list(mixed[0].obs["sims_split"]) == list(model.split_["split"][:90])


def test_transposed_text_with_a_file_of_labels_is_a_reference(tmp_path, two, quick):
    one, other = two
    frame = pd.DataFrame(other.X.toarray(), other.obs_names, other.var_names)
    frame.T.to_csv(tmp_path / "counts.csv.gz")
    other.obs[["annotation"]].to_csv(tmp_path / "labels.csv")
    cells = sims.data.read_cells(tmp_path / "counts.csv.gz", labels=tmp_path / "labels.csv")
    model = sims.tl.sims_train([one.copy(), cells], ["cell_type", "annotation"], n_top_genes=20, **quick)
    assert same(sims.tl.sims_train(joined(*two), "cell_type", n_top_genes=20, **quick), model)


def test_objects_are_written_to_and_files_are_not(tmp_path, two, quick, snapshot, changes):
    one, other = two[0].copy(), tmp_path / "other.h5ad"
    two[1].write_h5ad(other)
    before, bytes_before = snapshot(one), other.read_bytes()
    keys = ["cell_type", "annotation"]
    model = sims.tl.sims_train({"a/b": one, "c": other}, keys, key_added="k", **quick)
    assert changes(before, snapshot(one)) == {"obs/k_split", "uns/k"}
    assert other.read_bytes() == bytes_before
    assert one.uns["k"]["reference"] == "a/b"
    said = one.uns["k"]["references"]
    assert said["names"].tolist() == ["a/b", "c"]
    assert said["n_cells"].tolist() == [90, 60]
    assert said["cells_of_class"].sum() == 150
    assert model.split_["reference"].value_counts(sort=False).tolist() == [90, 60]
    assert model.split_.index.tolist() == [*one.obs_names, *two[1].obs_names]
    assert model.split_["split"][:90].tolist() == one.obs["k_split"].tolist()
    one.write_h5ad(tmp_path / "again.h5ad")
    one.write_zarr(tmp_path / "again.zarr")
    model.save(tmp_path / "model")
    assert sims.models.load(tmp_path / "model").references_ == model.references_


def test_one_file_alone_is_a_reference(tmp_path, two, quick):
    two[0].write_h5ad(tmp_path / "one.h5ad")
    model = sims.tl.sims_train(tmp_path / "one.h5ad", "cell_type", **quick)
    assert same(sims.tl.sims_train(two[0].copy(), "cell_type", **quick), model)
    assert model.references_["names"] == ["one"]


def test_any_architecture_takes_them(two, small):
    small = {name: small[name] for name in ("batch_size", "progress_bar")}
    by_hand = sims.tl.train(joined(*two), "cell_type", model="actinn", max_epochs=1, **small)
    model = sims.tl.train(list(two), ["cell_type", "annotation"], model="actinn", max_epochs=1, **small)
    assert same(by_hand, model)


# --- genes ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unlike() -> tuple[ad.AnnData, ad.AnnData]:
    """The first lacks genes 0 to 5 and type 2, the second genes 30 to 39 and type 0; do not change them."""
    whole = sims.data.planted_cells(n_cells=300, n_genes=40, n_classes=3, fold=10, random_state=3)
    types = whole.obs["cell_type"]
    first = np.arange(300) < 150
    return whole[first & (types != "type_2"), 6:].copy(), whole[~first & (types != "type_0"), :30].copy()


def test_inner_takes_what_all_have_and_outer_what_any_has(unlike, quick):
    inner = sims.tl.sims_train(dict(zip("ab", unlike, strict=True)), "cell_type", gene_choice="all", **quick)
    outer = sims.tl.sims_train(
        dict(zip("ab", unlike, strict=True)), "cell_type", join="outer", gene_choice="all", **quick
    )
    assert list(inner.genes) == [f"gene_{i}" for i in range(6, 30)]
    assert list(outer.genes) == [f"gene_{i}" for i in [*range(6, 40), *range(6)]]
    assert outer.references_["missing"] == [[f"gene_{i}" for i in range(6)], [f"gene_{i}" for i in range(30, 40)]]
    assert inner.references_["n_missing"] == [0, 0]
    assert inner.references_["n_common_genes"] == outer.references_["n_common_genes"] == 24
    assert set(outer.classes) == {"type_0", "type_1", "type_2"}


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_a_gene_counts_in_the_statistics_of_the_cells_that_have_it(unlike, quick, join):
    """And CP10K are of all genes of each reference, read or not."""
    one, other = (each.copy() for each in unlike)
    model = sims.tl.sims_train([one, other], "cell_type", join=join, n_top_genes=20, **quick)
    scale = model.module.transform.gene_scale.numpy()
    logs = []
    for each in (one, other):
        counts = each.X.toarray().astype(np.float64)
        values = np.log1p(counts / counts.sum(1, keepdims=True) * 1e4)
        train = (each.obs["sims_split"] == "train").to_numpy()
        logs.append(pd.DataFrame(values[train], columns=each.var_names))
    for gene, found in zip(model.genes, scale, strict=True):
        known = np.concatenate([table[gene] for table in logs if gene in table])
        assert found == pytest.approx(1 / known.std(), rel=1e-4)
    if join == "outer":
        assert set(model.genes) - set(one.var_names)
        assert set(model.genes) - set(other.var_names)


def test_genes_that_a_reference_lacks_do_not_give_it_away(unlike, monkeypatch):
    """Cells with all genes, of types that one reference alone has, are still told apart; they are not, unmasked."""
    from sims_tools.data._joined import JoinedReference

    queries = sims.data.planted_cells(n_cells=300, n_genes=40, n_classes=3, fold=10, random_state=3)
    options = {"n_d": 8, "n_a": 8, "n_members": 1, "max_epochs": 20, "batch_size": 32, "progress_bar": False}

    def accuracy() -> float:
        references = [each.copy() for each in unlike]
        model = sims.tl.sims_train(references, "cell_type", join="outer", gene_choice="all", **options)
        query = queries.copy()
        sims.tl.annotate(query, model, masks=False, progress_bar=False)
        return float((query.obs["sims"].astype(str) == query.obs["cell_type"].astype(str)).mean())

    shown = accuracy()
    assert shown > 0.9
    monkeypatch.setattr(JoinedReference, "panels", lambda *_: None)
    assert accuracy() < shown - 0.05


def test_ensembl_ids_with_versions_are_matched(two, quick):
    one, other = two[0].copy(), two[1].copy()
    one.var_names = [f"ENSG{i:011d}" for i in range(40)]
    other.var_names = [f"ENSG{i:011d}.{i % 3}" for i in range(39, -1, -1)]
    model = sims.tl.sims_train([one, other], ["cell_type", "annotation"], gene_choice="all", **quick)
    assert list(model.genes) == list(one.var_names)


# --- values and labels ------------------------------------------------------------------------------------------------


def test_counts_beside_logarithms_are_brought_to_one_scale(two, quick):
    one, other = two
    logs = other.copy()
    logs.X = np.log1p(logs.X.toarray() / logs.X.sum(1).A1[:, None] * 1e4)
    by_counts = sims.tl.sims_train([one.copy(), other.copy()], ["cell_type", "annotation"], n_top_genes=20, **quick)
    model = sims.tl.sims_train([one.copy(), logs], ["cell_type", "annotation"], n_top_genes=20, **quick)
    assert model.references_["scales"] == ["counts", "log1p"]
    assert list(model.genes) == list(by_counts.genes)
    for name, value in by_counts.module.state_dict().items():
        torch.testing.assert_close(model.module.state_dict()[name], value, rtol=0.05, atol=0.02)


def test_classes_are_united_and_names_alike_are_said(two, quick, caplog):
    one, other = two[0].copy(), two[1].copy()
    one.obs["cell_type"] = one.obs["cell_type"].astype(str).replace("type_0", "Type_1 ")
    with caplog.at_level(logging.INFO):
        model = sims.tl.sims_train([one, other], ["cell_type", "annotation"], **quick)
    assert list(model.classes) == ["Type_1 ", "type_0", "type_1", "type_2"]
    assert "Classes 'Type_1 ', 'type_1' differ in case or white space only" in caplog.text
    assert "Reference '1': 60 cells, 60 of them labelled, in 3 classes; 40 genes; values are counts" in caplog.text
    assert "Classes of one reference only: 'Type_1 ', 'type_0'" in caplog.text


def test_references_are_held_out_whole(two, quick):
    model = sims.tl.sims_train(
        dict(zip("ab", two, strict=True)), ["cell_type", "annotation"], split_by="reference", **quick
    )
    held = model.split_.groupby("reference", observed=True)["split"].agg(set)
    assert sorted(map(tuple, held)) == [("train",), ("validation",)]
    by_donor = sims.tl.sims_train(list(two), ["cell_type", "annotation"], split_by="donor", **quick)
    donors = pd.concat([each.obs["donor"] for each in two]).astype(str).to_numpy()
    assert pd.Series(by_donor.split_["split"].astype(str).to_numpy()).groupby(donors).nunique().max() == 1


# --- what is wrong with them ------------------------------------------------------------------------------------------


def wrong(what: str, one: ad.AnnData, other: ad.AnnData, folder: Path) -> tuple[Any, dict[str, Any]]:
    """References of which something is wrong, and arguments."""
    given: Any = {"a": one, "b": other}
    if what == "no label":
        other.obs["cell_type"] = np.nan
    elif what == "scaled":
        other.X = other.X.toarray() - 1
    elif what == "other genes":
        other.var_names = [f"x{i}" for i in range(40)]
    elif what == "repeated genes":
        other.var_names = ["x"] * 40
    elif what == "one class":
        one.obs["cell_type"], other.obs["cell_type"] = "T", "T"
    elif what == "twice":
        given = [one, one]
    elif what == "none":
        given = []
    elif what == "no file":
        given = [one, folder / "none.h5ad"]
    elif what == "a number":
        given = [one, 3]
    elif what == "proteins":
        return given, {"protein_obsm_key": "adt"}
    elif what == "no column of one":
        del other.obs["cell_type"]
    elif what == "too few names":
        return given, {"labels_key": ["cell_type"]}
    elif what == "unknown name":
        return given, {"labels_key": {"a": "cell_type", "c": "cell_type"}}
    elif what == "layer":
        return given, {"layer": "counts"}
    elif what == "join":
        return given, {"join": "left"}
    return given, {}


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("no label", ValueError, "Reference 'b': .* has no label among 60 cells"),
        ("no column of one", KeyError, "Reference 'b': `labels_key='cell_type'` is not a column"),
        ("scaled", ValueError, "Reference 'b': The matrix holds negative values"),
        ("other genes", ValueError, "no gene in common: 'a' has 40, 'b' has 40"),
        ("repeated genes", ValueError, "Reference 'b': `adata.var_names` are not unique"),
        ("one class", ValueError, "only 'T' among 150 cells"),
        ("twice", ValueError, "the same object is given twice"),
        ("none", ValueError, "the list is empty"),
        ("no file", FileNotFoundError, "There is no file"),
        ("a number", TypeError, "Reference '1' is a int; expected an AnnData or a path"),
        ("proteins", ValueError, "`protein_obsm_key` is for one object"),
        ("too few names", ValueError, "has 1 entries for 2 references: 'a', 'b'"),
        ("unknown name", TypeError, "'c' is not a reference that `labels_key` can speak of"),
        ("layer", KeyError, "Reference 'a': `layer='counts'` is not in"),
        ("join", ValueError, "`join='left'` is not one of 'inner', 'outer'"),
    ],
)
def test_what_is_wrong_is_said_of_the_reference_and_nothing_is_written(
    two, quick, tmp_path, snapshot, what, error, message
):
    one, other = two[0].copy(), two[1].copy()
    other.obs = other.obs.rename(columns={"annotation": "cell_type"})
    given, options = wrong(what, one, other, tmp_path)
    before = snapshot(one), snapshot(other)
    with pytest.raises(error, match=message):
        sims.tl.sims_train(given, **({"labels_key": "cell_type"} | quick | options))
    assert (snapshot(one), snapshot(other)) == before


def test_a_mudata_among_them_is_refused(two, cite, quick):
    with pytest.raises(TypeError, match=r"Reference '1' is a MuData.*mdata.mod\[\"rna\"\]"):
        sims.tl.sims_train([two[0], cite], "cell_type", **quick)


def test_interrupted_training_writes_nothing(two, quick, snapshot):
    from lightning.pytorch.callbacks import Callback

    class Stop(Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            raise KeyboardInterrupt

    one, other = two[0].copy(), two[1].copy()
    before = snapshot(one), snapshot(other)
    model = sims.tl.sims_train([one, other], ["cell_type", "annotation"], callbacks=[Stop()], **quick)
    assert model.was_interrupted_
    assert (snapshot(one), snapshot(other)) == before
