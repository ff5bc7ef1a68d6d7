"""Files of cells: text of either orientation, compressed or not, labels beside it, and what cannot be told."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from sims_tools.data import _delimited, read_cells


@pytest.fixture
def counts() -> pd.DataFrame:
    """12 cells, whose names look like numbers, of 5 genes."""
    values = np.random.default_rng(0).poisson(0.7, (12, 5))
    return pd.DataFrame(values, index=[f"{i:03d}" for i in range(12)], columns=[f"gene {i}" for i in range(5)])


@pytest.fixture
def labels(counts: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"type": list("aabb") * 3, "age": range(12)}, index=counts.index)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("name", "sep"), [("m.csv", ","), ("m.tsv", "\t"), ("m.txt.gz", " "), ("m.csv.bz2", ";"), ("m.tab.xz", "\t")]
)
def test_text_of_either_orientation_is_read_as_it_is(tmp_path, counts, labels, name, sep, transposed):
    (counts.T if transposed else counts).to_csv(tmp_path / name, sep=sep)
    labels.to_csv(tmp_path / "labels.tsv", sep="\t")
    cells = read_cells(tmp_path / name, labels=tmp_path / "labels.tsv")
    assert cells.X.dtype == np.float32
    assert cells.X.format == "csr"
    np.testing.assert_array_equal(cells.X.toarray(), counts)
    assert list(cells.obs_names) == list(counts.index)
    assert list(cells.var_names) == list(counts.columns)
    assert cells.obs["type"].tolist() == labels["type"].tolist()
    assert cells.obs["age"].tolist() == list(range(12))


def test_a_first_line_without_a_name_for_the_names_is_read_too(tmp_path, counts):
    """As R writes tables."""
    counts.to_csv(tmp_path / "r.txt", sep="\t", index_label=False)
    cells = read_cells(tmp_path / "r.txt", transposed=False)
    np.testing.assert_array_equal(cells.X.toarray(), counts)
    assert list(cells.var_names) == list(counts.columns)


def test_names_in_quotes_may_hold_the_separator(tmp_path):
    (tmp_path / "q.csv").write_text('"","g,1","g2"\n"a,b","1",2\nc,3,"4"\n\n')
    cells = read_cells(tmp_path / "q.csv", transposed=False)
    assert list(cells.obs_names) == ["a,b", "c"]
    assert list(cells.var_names) == ["g,1", "g2"]
    np.testing.assert_array_equal(cells.X.toarray(), [[1, 2], [3, 4]])


def test_text_is_read_in_pieces(tmp_path, counts, monkeypatch):
    monkeypatch.setattr(_delimited, "_AT_ONCE", 18)  # three lines
    counts.to_csv(tmp_path / "m.csv")
    np.testing.assert_array_equal(read_cells(tmp_path / "m.csv", transposed=False).X.toarray(), counts)


def test_labels_are_matched_by_name_whatever_their_order(tmp_path, counts, labels, caplog):
    counts.to_csv(tmp_path / "m.csv")
    some = labels.iloc[[5, 3, 1]].rename(index={"001": "nobody"})
    with caplog.at_level(logging.INFO):
        cells = read_cells(tmp_path / "m.csv", labels=some)
    assert cells.obs["type"].dropna().to_dict() == {"005": "a", "003": "b"}
    assert "10 of 12 cells are not in `labels`; 1 names" in caplog.text


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("how", ["numbered", "one column"])
def test_labels_without_names_go_by_order(tmp_path, counts, labels, how, transposed, caplog):
    (counts.T if transposed else counts).add_prefix("x").to_csv(tmp_path / "m.csv")
    table = labels.reset_index(drop=True) if how == "numbered" else labels[["type"]]
    table.to_csv(tmp_path / "labels.csv", index=how == "numbered")
    with caplog.at_level(logging.INFO):
        cells = read_cells(tmp_path / "m.csv", labels=tmp_path / "labels.csv")
    assert cells.shape == (12, 5)
    assert cells.obs["type"].tolist() == labels["type"].tolist()
    assert "in the order of" in caplog.text


def test_what_does_not_say_which_axis_is_cells_is_refused(tmp_path, counts, labels):
    counts.to_csv(tmp_path / "m.csv")
    with pytest.raises(ValueError, match=r"Without `labels`.*`transposed=True` where each line is a gene"):
        read_cells(tmp_path / "m.csv")
    both = labels.rename(index={"000": "gene 0"})
    with pytest.raises(ValueError, match=r"11 are among the lines.*1 among its columns.*Pass `transposed=True`"):
        read_cells(tmp_path / "m.csv", labels=both)
    neither = labels.add_prefix("").rename(index=lambda name: f"z{name}")
    with pytest.raises(ValueError, match="0 are among the lines"):
        read_cells(tmp_path / "m.csv", labels=neither)
    with pytest.raises(ValueError, match="None of the 12 cells"):
        read_cells(tmp_path / "m.csv", labels=neither, transposed=False)
    assert read_cells(tmp_path / "m.csv", labels=both, transposed=False).obs["type"].isna().sum() == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c,g1,g2\na,1,x\n", "'x'.*columns with labels belong into"),
        ("c,g1,g2\na,1,\n", "could not be read as a matrix of numbers"),
        ("c,g1,g2\na,1,2\nb,1\n", "could not be read as a matrix of numbers"),
        ("c,g1,g2\n", "no row below"),
        ("c,g1,g2,g3\na,1\n", "Is another separator meant"),
        ("c\na\n", "one column only"),
    ],
)
def test_text_that_is_no_matrix_is_refused(tmp_path, text, message):
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_cells(tmp_path / "m.csv", transposed=False)


def test_labels_that_do_not_fit_are_refused(tmp_path, counts, labels):
    counts.to_csv(tmp_path / "m.csv")
    with pytest.raises(ValueError, match="more than once: '000'"):
        read_cells(tmp_path / "m.csv", labels=pd.concat([labels, labels[:1]]))
    with pytest.raises(FileNotFoundError, match="with labels"):
        read_cells(tmp_path / "m.csv", labels=tmp_path / "none.csv")
    ad.AnnData(counts.to_numpy(), obs=labels).write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(ValueError, match="both have the columns 'type'"):
        read_cells(tmp_path / "a.h5ad", labels=labels[["type"]])


@pytest.mark.parametrize("suffix", [".h5ad", ".zarr"])
def test_other_files_are_read_as_anndata_reads_them(tmp_path, counts, labels, suffix):
    adata = ad.AnnData(counts.to_numpy().astype(np.float32), obs=labels[["age"]])
    (adata.write_h5ad if suffix == ".h5ad" else adata.write_zarr)(tmp_path / f"a{suffix}")
    cells = read_cells(str(tmp_path / f"a{suffix}"), labels=labels["type"])
    np.testing.assert_array_equal(cells.X, counts)
    assert cells.obs["type"].tolist() == labels["type"].tolist()
    with pytest.raises(ValueError, match="are for delimited text"):
        read_cells(tmp_path / f"a{suffix}", transposed=True)


def test_10x_files_are_read_by_scanpy(tmp_path, counts, labels):
    _write_10x(tmp_path / "m.h5", counts)
    cells = read_cells(tmp_path / "m.h5", labels=labels)
    np.testing.assert_array_equal(cells.X.toarray(), counts)
    assert cells.obs["type"].tolist() == labels["type"].tolist()
    assert "gene_ids" in cells.var


def _write_10x(path: Path, counts: pd.DataFrame) -> None:
    import h5py
    from scipy import sparse

    matrix = sparse.csr_matrix(counts.to_numpy())
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(matrix, name)
        group["shape"] = np.array(matrix.shape[::-1])
        group["barcodes"] = np.array(counts.index, dtype="S")
        features = group.create_group("features")
        for name in ("id", "name"):
            features[name] = np.array(counts.columns, dtype="S")
        features["feature_type"] = np.array(["Gene Expression"] * counts.shape[1], dtype="S")
        features["genome"] = np.array(["GRCh38"] * counts.shape[1], dtype="S")


def test_loom_files_say_what_they_need(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "loompy", None)
    (tmp_path / "a.loom").touch()
    with pytest.raises(ImportError, match="needs loompy: `pip install loompy`"):
        read_cells(tmp_path / "a.loom")


def test_loom_files_keep_the_names_that_anndata_wrote(tmp_path, counts):
    pytest.importorskip("loompy")
    ad.AnnData(counts.to_numpy(), obs=counts[[]], var=counts.T[[]]).write_loom(tmp_path / "a.loom")
    cells = read_cells(tmp_path / "a.loom")
    assert list(cells.obs_names) == list(counts.index)
    assert list(cells.var_names) == list(counts.columns)


def test_unknown_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file"):
        read_cells(tmp_path / "none.h5ad")
    (tmp_path / "a.docx").touch()
    with pytest.raises(ValueError, match="of no known kind"):
        read_cells(tmp_path / "a.docx")
    (tmp_path / "a.csv").write_text("a,b\nc,1\n")
    with pytest.raises(ValueError, match="`transposed='yes'` is not one of"):
        read_cells(tmp_path / "a.csv", transposed="yes")
