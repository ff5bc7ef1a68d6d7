"""Files of cells as AnnData, with labels from a file of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import anndata
import numpy as np
import pandas as pd
import scanpy as sc
from anndata import AnnData

from sims_tools._log import logger
from sims_tools._validate import check_choice, listing

from ._delimited import TEXT, TextMatrix, is_text, read_label_table, read_text_matrix

FORMATS = (".h5ad", ".zarr", ".h5", ".loom", *TEXT)


def read_cells(
    path: str | Path,
    *,
    labels: str | Path | pd.DataFrame | pd.Series | None = None,
    transposed: bool | Literal["auto"] = "auto",
    sep: str | None = None,
) -> AnnData:
    """Read cells from any usual file, with labels from a file of their own.

    `.h5ad` and `.zarr` are read by anndata, 10x `.h5` by scanpy, `.loom` by loompy. Delimited text (`.csv`, `.tsv`,
    `.txt`, `.tab`, also compressed with gzip, bzip2 or xz) becomes a sparse matrix some lines at a time, so that a
    dense file larger than memory can be read.

    Parameters
    ----------
    path
        File, or folder of a zarr store.
    labels
        Table of the cells: a delimited file whose first column names them, or a table indexed by their names; its
        columns become those of `.obs`. Cells that it lacks have no label, names that the matrix lacks are left out. A
        table that only numbers its lines, or has a single column, goes by the order of the cells.
    transposed
        Whether delimited text has a line for each gene and a column for each cell. "auto" looks on which axis the names
        of `labels` are.
    sep
        What stands between the values of delimited text; None looks at the first lines.

    Returns
    -------
    Cells (n_obs, n_vars) in memory: values as stored, float32 CSR of delimited text.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        The kind of file is unknown, text holds no matrix of numbers, its orientation cannot be told, or labels do not
        belong to the cells.
    ImportError
        The file is `.loom`, and loompy is not installed.

    Examples
    --------
    >>> import sims_tools as sims
    >>> cells = sims.data.read_cells("counts.csv.gz", labels="clusters.csv")  # doctest: +SKIP
    """
    path = check_path(path)
    if transposed not in (True, False):
        check_choice("transposed", transposed, ("auto",))
    table = _label_table(labels)
    if is_text(path):
        adata = _of_text(path, table, transposed, sep)
    elif transposed != "auto" or sep is not None:
        raise ValueError(f"`transposed` and `sep` are for delimited text; `{path.name}` says itself what its axes are.")
    else:
        adata = _READERS[path.suffix.lower()](path)
    return adata if table is None else _with_labels(adata, table, path)


def check_path(path: str | Path) -> Path:
    """The path of a file that is there and of a known kind.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Its kind is unknown.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no file `{path}`.")
    if path.suffix.lower() not in FORMATS and not is_text(path):
        raise ValueError(f"`{path.name}` is of no known kind: {listing(FORMATS, 20)}, text also compressed.")
    return path


def _read_loom(path: Path) -> AnnData:
    try:
        import loompy  # type: ignore[import-not-found]  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"Reading `{path.name}` needs loompy: `pip install loompy`, or convert the file to `.h5ad`."
        ) from error
    adata = anndata.io.read_loom(path)
    for axis in ("obs", "var"):  # which anndata writes, and does not read again
        frame, names = getattr(adata, axis), f"{axis}_names"
        if names in frame:
            setattr(adata, axis, frame.set_index(names).rename_axis(None))
    return adata


def _read_10x(path: Path) -> AnnData:
    return sc.read_10x_h5(path)


_READERS = {
    ".h5ad": anndata.read_h5ad,
    ".zarr": anndata.read_zarr,
    ".h5": _read_10x,
    ".loom": _read_loom,
}


def _label_table(labels: str | Path | pd.DataFrame | pd.Series | None) -> pd.DataFrame | None:
    if labels is None or isinstance(labels, pd.DataFrame):
        return labels
    if isinstance(labels, pd.Series):
        return labels.to_frame("labels" if labels.name is None else str(labels.name))
    path = Path(labels)
    if not path.exists():
        raise FileNotFoundError(f"There is no file `{path}` with labels.")
    return read_label_table(path)


def _of_text(path: Path, table: pd.DataFrame | None, transposed: bool | Literal["auto"], sep: str | None) -> AnnData:
    matrix = read_text_matrix(path, sep)
    of_genes = _rows_are_genes(matrix, table, path) if transposed == "auto" else transposed
    cells, genes = (matrix.columns, matrix.rows) if of_genes else (matrix.rows, matrix.columns)
    values = matrix.values.T.tocsr() if of_genes else matrix.values
    return AnnData(values, obs=pd.DataFrame(index=cells), var=pd.DataFrame(index=genes))


def _rows_are_genes(matrix: TextMatrix, table: pd.DataFrame | None, path: Path) -> bool:
    """Whether the names of the table, or its length, are found on the axis of columns."""
    remedy = "Pass `transposed=True` where each line is a gene, `transposed=False` where each is a cell."
    if table is None:
        raise ValueError(f"Without `labels`, `{path.name}` does not say whether its lines are cells or genes. {remedy}")
    names = table.index.astype(str)
    in_rows, in_columns = int(names.isin(matrix.rows).sum()), int(names.isin(matrix.columns).sum())
    if (in_rows > 0) != (in_columns > 0):
        return in_columns > 0
    if in_rows == 0 and _only_numbers(names) and len(matrix.rows) != len(matrix.columns):
        if len(table) in (len(matrix.rows), len(matrix.columns)):
            return len(table) == len(matrix.columns)
    raise ValueError(
        f"Of {len(names)} names of `labels` ({listing(names, 3)}), {in_rows} are among the lines of `{path.name}` "
        f"({listing(matrix.rows, 3)}) and {in_columns} among its columns ({listing(matrix.columns, 3)}): they do not "
        f"say which of them are cells. {remedy}"
    )


def _with_labels(adata: AnnData, table: pd.DataFrame, path: Path) -> AnnData:
    """The same object with the columns of the table in `.obs`."""
    names = pd.Index(table.index.astype(str))
    if not names.is_unique:
        raise ValueError(f"`labels` name cells more than once: {listing(names[names.duplicated()].unique())}.")
    if again := [str(name) for name in table.columns if name in adata.obs.columns]:
        raise ValueError(
            f"`labels` and `{path.name}` both have the columns {listing(again)}; rename those of `labels`."
        )
    at = names.get_indexer(adata.obs_names)
    if (at < 0).all():
        at = _by_order(names, adata, path)
    elif (n_missing := int((at < 0).sum())) or len(names) > adata.n_obs:
        logger.info(
            "`%s`: %d of %d cells are not in `labels`; %d names of `labels` are not cells of it.",
            path.name, n_missing, adata.n_obs, len(names) - adata.n_obs + n_missing,
        )  # fmt: skip
    for column in table.columns:
        adata.obs[str(column)] = table[column].set_axis(names).iloc[at].where(at >= 0).to_numpy()
    return adata


def _by_order(names: pd.Index, adata: AnnData, path: Path) -> np.ndarray:
    if not _only_numbers(names) or len(names) != adata.n_obs:
        raise ValueError(
            f"None of the {adata.n_obs} cells of `{path.name}` ({listing(adata.obs_names, 3)}) is among the "
            f"{len(names)} names of `labels` ({listing(names, 3)}). Its first column must name the cells."
        )
    logger.info("`labels` number their lines and name no cell: they are taken to be in the order of `%s`.", path.name)
    return np.arange(adata.n_obs)


def _only_numbers(names: pd.Index) -> bool:
    """Whether names are 0, 1, 2, ... or 1, 2, 3, ..."""
    return any(bool((names == pd.Index(np.arange(len(names)) + first).astype(str)).all()) for first in (0, 1))
