"""Objects taken apart: which modality is what, cells by name, and what is refused."""

from __future__ import annotations

import logging
import warnings

import anndata as ad
import mudata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from sims_tools.data._obs_columns import obs_column
from sims_tools.data._parts import read_parts, spread_rows


def adata(names: list[str], n_vars: int = 3, **obs: list) -> ad.AnnData:
    counts = np.arange(1, 1 + len(names) * n_vars, dtype=np.float32).reshape(len(names), n_vars)
    var = pd.DataFrame(index=[f"f{i}" for i in range(n_vars)])
    return ad.AnnData(sparse.csr_matrix(counts), obs=pd.DataFrame(obs, index=names), var=var)


def mdata(**modalities: ad.AnnData) -> mudata.MuData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(modalities)


def test_modalities_go_by_their_usual_names(caplog):
    cells = mdata(adt=adata(["a", "b"]), rna=adata(["a", "b"]), atac=adata(["a", "b"]))
    with caplog.at_level(logging.INFO, "sims_tools"):
        parts = read_parts(cells)
    assert parts.names == {"rna": "rna", "protein": "adt"}
    assert list(parts.parts) == ["rna", "protein"]
    assert "rna is 'rna', protein is 'adt'" in caplog.text
    assert all(part.rows is None for part in parts.parts.values())


def test_names_that_were_used_before_come_first():
    cells = mdata(prot=adata(["a"]), mine=adata(["a"]), rna=adata(["a"]))
    assert read_parts(cells, usual={"protein": "mine"}).names["protein"] == "mine"
    assert read_parts(cells, usual={"protein": "gone"}).names["protein"] == "prot"


def test_cells_are_matched_by_name():
    cells = mdata(rna=adata(["a", "b", "c"]), prot=adata(["c", "d", "a"]))
    parts = read_parts(cells)
    assert list(parts.obs_names) == list(cells.obs_names)
    for role, name in (("rna", "rna"), ("protein", "prot")):
        rows = parts.parts[role].rows
        own = cells.mod[name].obs_names
        assert [own[row] if row >= 0 else None for row in rows] == [
            each if each in own else None for each in cells.obs_names
        ]


def test_unpaired_cells_are_told_of(caplog):
    cells = mdata(rna=adata(["a", "b", "c"]), prot=adata(["a"]))
    with caplog.at_level(logging.INFO, "sims_tools"):
        read_parts(cells)
    assert "2 of 3 cells were not measured in `mdata.mod['prot']`" in caplog.text


@pytest.mark.parametrize(
    "values",
    [
        np.array([[1, 2], [3, 4]]),
        sparse.csr_matrix([[1, 2], [3, 4]]),
        sparse.csc_matrix([[1, 2], [3, 4]]),
        pd.DataFrame({"CD4": [1, 3], "CD8": [2, 4]}, index=["a", "b"]),
    ],
    ids=["array", "csr", "csc", "frame"],
)
def test_proteins_in_obsm(values):
    cells = adata(["a", "b"])
    cells.obsm["protein"] = values
    part = read_parts(cells, protein_obsm_key="protein").parts["protein"]
    assert list(part.adata.var_names) == (["CD4", "CD8"] if isinstance(values, pd.DataFrame) else ["0", "1"])
    found = part.adata.X
    assert (found.toarray() if sparse.issparse(found) else found).tolist() == [[1, 2], [3, 4]]
    assert list(read_parts(cells).parts) == ["rna"]


def test_what_is_refused():
    cells = mdata(rna=adata(["a", "b"]), prot=adata(["a", "b"]))
    with pytest.raises(TypeError, match="is a list; expected an AnnData or MuData"):
        read_parts([])
    with pytest.raises(KeyError, match=r"modalities\['protein'\]='adt'` is not in `mdata.mod`, which has 'rna'"):
        read_parts(cells, modalities={"rna": "rna", "protein": "adt"})
    with pytest.raises(TypeError, match="'atac' is not a modality that a model reads"):
        read_parts(cells, modalities={"atac": "rna"})
    with pytest.raises(ValueError, match="must name a modality for each"):
        read_parts(cells, modalities={"rna": "rna", "protein": "rna"})
    with pytest.raises(ValueError, match="`protein_obsm_key` is for an AnnData"):
        read_parts(cells, protein_obsm_key="protein")
    with pytest.raises(ValueError, match="`modalities` is for a MuData"):
        read_parts(cells.mod["rna"], modalities={"rna": "rna"})
    with pytest.raises(KeyError, match="`protein_obsm_key='protein'` is not in `adata.obsm`, which has none"):
        read_parts(cells.mod["rna"], protein_obsm_key="protein")
    with pytest.raises(ValueError, match="Which of the modalities 'x', 'y' holds genes"):
        read_parts(mdata(x=adata(["a"]), y=adata(["a"])))


def test_an_empty_modality_and_repeated_cells_are_refused():
    empty = adata(["a", "b"])[:0].copy()
    with pytest.raises(ValueError, match=r"`mdata.mod\['prot'\]` is empty: it has 0 cells and 3 features.*modalities="):
        read_parts(mdata(rna=adata(["a", "b"]), prot=empty))
    with pytest.raises(ValueError, match="obs_names` are not unique: 'a'"):
        read_parts(mdata(rna=adata(["a", "a"])))


def test_spread_rows():
    matrix = sparse.csr_matrix(np.arange(1, 7).reshape(2, 3))
    assert spread_rows(matrix, np.array([1, -1, 0, 1])).toarray().tolist() == [
        [4, 5, 6],
        [0, 0, 0],
        [1, 2, 3],
        [4, 5, 6],
    ]


def test_columns_of_obs_are_found_where_they_are(caplog):
    cells = mdata(
        rna=adata(["a", "b"], kind=["x", "y"], both=[1, 2]), prot=adata(["b", "c"], gate=["p", "q"], both=[3, 4])
    )
    cells.obs["top"] = ["t1", "t2", "t3"]
    assert obs_column(cells, "top", "labels_key").tolist() == ["t1", "t2", "t3"]
    names = list(cells.obs_names)
    kind = obs_column(cells, "rna:kind", "labels_key").tolist()
    assert (kind[names.index("a")], kind[names.index("b")]) == ("x", "y")
    assert pd.isna(kind[names.index("c")])
    with caplog.at_level(logging.INFO, "sims_tools"):
        assert obs_column(cells, "gate", "labels_key").tolist()[names.index("c")] == "q"
    assert "`labels_key='gate'` is a column of `mdata.mod['prot'].obs`" in caplog.text
    with pytest.raises(KeyError, match="column of several modalities; say which of 'rna:both', 'prot:both'"):
        obs_column(cells, "both", "labels_key")
    with pytest.raises(KeyError, match=r"`labels_key='nothing'` is not a column.*'rna:kind'"):
        obs_column(cells, "nothing", "labels_key")
