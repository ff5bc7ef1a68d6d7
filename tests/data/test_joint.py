"""Genes and proteins side by side on the model's linear scale, from any storage, cells in any order."""

from __future__ import annotations

import logging
import warnings

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sims_tools.data import planted_cite
from sims_tools.data._clr import clr
from sims_tools.data._features import SEEN_PROTEIN, SEEN_RNA, feature_names, only
from sims_tools.data._joint import JointRows
from sims_tools.data._joint_match import match_parts
from sims_tools.data._moments import log_cp10k
from sims_tools.data._parts import read_parts
from sims_tools.data._query import Query

PLANTED = planted_cite(60, 30, 6, ("rna", "protein"))


def logs(linear: sparse.csr_matrix, totals: np.ndarray) -> np.ndarray:
    return log_cp10k(linear, totals).toarray()


def expected(rna: np.ndarray, proteins: np.ndarray) -> np.ndarray:
    return np.hstack([np.log1p(1e4 * rna / rna.sum(1, keepdims=True)), clr(proteins)])


def everything(rows) -> np.ndarray:
    return np.vstack([logs(*block) for _, *block in rows.blocks(17)])


@pytest.mark.parametrize("convert", ["csr", "csc", "dense", "int64", "dask"])
def test_log_cp10k_of_the_linear_scale_is_log_cp10k_and_clr(convert):
    cells = PLANTED.copy()
    rna, proteins = (cells.mod[name].X.toarray() for name in ("rna", "prot"))
    change = {
        "csr": lambda x: x,
        "csc": lambda x: x.tocsc(),
        "dense": lambda x: x.toarray(),
        "int64": lambda x: x.astype(np.int64),
        "dask": lambda x: pytest.importorskip("dask.array").from_array(x.toarray(), chunks=(20, -1)),
    }[convert]
    for each in cells.mod.values():
        each.X = change(each.X)
    rows = JointRows(read_parts(cells))
    np.testing.assert_allclose(everything(rows), expected(rna, proteins), rtol=1e-5)
    some = np.array([5, 2, 40])
    np.testing.assert_allclose(logs(*rows.read(some)), expected(rna, proteins)[some], rtol=1e-5)


def shuffled_and_unpaired() -> tuple[mudata.MuData, np.ndarray]:
    """Proteins in another order, of cells 10 to 59; genes of cells 0 to 49."""
    rng = np.random.default_rng(0)
    order = rng.permutation(np.arange(10, 60))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cells = mudata.MuData({"rna": PLANTED.mod["rna"][:50].copy(), "prot": PLANTED.mod["prot"][order].copy()})
    return cells, order


def test_cells_in_another_order_and_unpaired_ones():
    cells, _ = shuffled_and_unpaired()
    whole = expected(*(PLANTED.mod[name].X.toarray() for name in ("rna", "prot")))
    number = np.array([int(name.split("_")[1]) for name in cells.obs_names])
    wanted = whole[number]
    wanted[number >= 50, :30] = 0
    wanted[number < 10, 30:] = 0
    rows = JointRows(read_parts(cells))
    np.testing.assert_allclose(everything(rows), wanted, rtol=1e-5)
    np.testing.assert_allclose(logs(*rows.read(np.array([55, 0]))), wanted[[55, 0]], rtol=1e-5)


def test_a_cell_with_nothing_has_no_total():
    cells = PLANTED.copy()
    for each in cells.mod.values():
        counts = each.X.toarray()
        counts[3] = 0
        each.X = sparse.csr_matrix(counts)
    _, totals = JointRows(read_parts(cells)).read(np.arange(5))
    assert totals.tolist() == [1e4, 1e4, 1e4, 0, 1e4]


def matched(cells, genes, proteins, **where):
    match, parts = match_parts(read_parts(cells, **where), genes, proteins, np.ones(len(genes) + len(proteins)))
    return match, Query(JointRows(parts, proteins=match.read_proteins), match)


def test_features_are_matched_by_modality_and_name():
    """The gene CD4 and the protein CD4 are two features; the transform knows the proteins of the model only."""
    cells = PLANTED.copy()
    cells.mod["rna"].var_names = ["CD4", "CD8", *(f"g{i}" for i in range(28))]
    cells.mod["prot"].var_names = ["CD4", "CD8a_TotalSeqB", "x", "CD19", "y", "IgG"]
    match, query = matched(cells, ["g1", "CD4", "gone"], ["CD8", "CD19", "CD4", "CD99"])
    rna, proteins = (cells.mod[name].X.toarray() for name in ("rna", "prot"))
    genes = np.log1p(1e4 * rna / rna.sum(1, keepdims=True))
    of_model = clr(proteins[:, [1, 3, 0]])
    nothing = np.zeros((60, 1))
    wanted = np.hstack([genes[:, [3]], genes[:, [0]], nothing, of_model, nothing])
    np.testing.assert_allclose(everything(query), wanted, rtol=1e-5)
    assert match.model_genes.tolist() == feature_names(["g1", "CD4", "gone"], ["CD8", "CD19", "CD4", "CD99"])
    report = match.report(np.arange(7, dtype=float))
    assert report["missing"].tolist() == ["gone"]
    assert report["proteins"]["missing"].tolist() == ["CD99"]
    assert report["proteins"]["renamed"].tolist() == ["CD8"]
    assert report["proteins"]["renamed_from"].tolist() == ["CD8a_TotalSeqB"]
    assert (report["proteins"]["n_model_proteins"], report["proteins"]["n_matched"]) == (4, 3)


def test_what_has_another_name_or_is_missing_is_told(caplog):
    cells = PLANTED.copy()
    genes = list(cells.mod["rna"].var_names)
    cells.mod["prot"].var_names = ["CD4", "CD8a", "a", "b", "c", "d"]
    with caplog.at_level(logging.INFO, "sims_tools"):
        matched(cells, genes, ["CD4", "CD8", "CD19"])
    assert "1 proteins are known under another name: CD8 is 'CD8a'" in caplog.text
    assert "1 of the model's 3 proteins are missing in `mdata.mod['prot']` (67 %" in caplog.text


@pytest.mark.parametrize(("dropped", "said"), [("prot", "no proteins"), ("rna", "no RNA")])
def test_one_modality_alone_makes_one_line(dropped, said, caplog):
    cells = PLANTED.copy()
    kept = {"prot": "rna", "rna": "prot"}[dropped]
    alone = mudata.MuData({kept: cells.mod[kept]})
    genes, proteins = (list(cells.mod[name].var_names) for name in ("rna", "prot"))
    with caplog.at_level(logging.WARNING, "sims_tools"):
        match, query = matched(alone, genes, proteins)
    assert len(caplog.records) == 1
    assert f"The query has {said} that the model knows" in caplog.text
    whole = expected(*(PLANTED.mod[name].X.toarray() for name in ("rna", "prot")))
    block = slice(0, 30) if dropped == "rna" else slice(30, 36)
    whole[:, block] = 0
    np.testing.assert_allclose(everything(query), whole, rtol=1e-5)
    assert match.coverage(np.ones(36)) == 1


def test_an_anndata_of_proteins_is_taken_for_proteins():
    cells = PLANTED.mod["prot"].copy()
    cells.var_names = ["CD3", "CD4", "CD8", "CD14", "CD19", "CD56"]
    match, _ = matched(cells, [f"g{i}" for i in range(30)] + ["CD4", "CD14"], list(cells.var_names))
    assert match.genes is None
    assert match.proteins.found.all()


def test_nothing_to_read_and_nearly_nothing():
    cells = PLANTED.copy()
    genes = list(cells.mod["rna"].var_names)
    with pytest.raises(ValueError, match="too few to annotate"):
        matched(cells, [f"other_{i}" for i in range(30)], ["protein_0"])
    with pytest.raises(ValueError, match="nothing that the model reads"):
        matched(mudata.MuData({"prot": cells.mod["prot"]}), genes, ["CD99"])


def test_names_that_cannot_be_told_apart_are_refused():
    with pytest.raises(ValueError, match="share the names"):
        feature_names(["protein:CD4", "a"], ["CD4"])


def test_only_one_modality_of_cells():
    linear = sparse.csr_matrix(np.array([[1.0, 0, 2, 3], [0, 0, 4, 0], [5, 6, 0, 0]], dtype=np.float32))
    genes, totals = only(linear, SEEN_RNA, 2)
    assert genes.toarray().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [5, 6, 0, 0]]
    assert totals.tolist() == [1e4, 0, 1e4]
    proteins, totals = only(linear, SEEN_PROTEIN, 2)
    assert proteins.toarray().tolist() == [[0, 0, 2, 3], [0, 0, 4, 0], [0, 0, 0, 0]]
    assert totals.tolist() == [1e4, 1e4, 0]


def test_normalised_genes_are_brought_to_the_same_scale():
    cells = PLANTED.copy()
    rna, proteins = (cells.mod[name].X.toarray() for name in ("rna", "prot"))
    cells.mod["rna"].layers["logs"] = np.log1p(1e4 * rna / rna.sum(1, keepdims=True)).astype(np.float32)
    rows = JointRows(read_parts(cells, layer="logs"))
    np.testing.assert_allclose(everything(rows), expected(rna, proteins), rtol=1e-3, atol=1e-4)


def test_backed_genes_with_proteins_in_obsm(tmp_path):
    cells = PLANTED.mod["rna"].copy()
    cells.obsm["protein"] = pd.DataFrame(
        PLANTED.mod["prot"].X.toarray(), index=cells.obs_names, columns=PLANTED.mod["prot"].var_names
    )
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    rows = JointRows(read_parts(backed, protein_obsm_key="protein"))
    wanted = expected(cells.X.toarray(), PLANTED.mod["prot"].X.toarray())
    np.testing.assert_allclose(everything(rows), wanted, rtol=1e-5)
