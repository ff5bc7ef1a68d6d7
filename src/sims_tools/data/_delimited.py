"""Matrices in text files, read some lines at a time into sparse rows; tables of labels beside them."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd
from scipy import sparse

from sims_tools._validate import listing

TEXT = (".csv", ".tsv", ".txt", ".tab")
_OPEN: dict[str, Callable[..., IO[str]]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}

_SEPARATORS = "\t,; "

_AT_ONCE = 1 << 22
"""Values of a text file that are in memory as numbers at once."""


@dataclass(frozen=True)
class TextMatrix:
    """A matrix as its file has it.

    Attributes
    ----------
    values
        (n_rows, n_columns) CSR, float32.
    rows, columns
        Names along both axes.
    """

    values: sparse.csr_matrix
    rows: pd.Index
    columns: pd.Index


def is_text(path: Path) -> bool:
    """Whether the file's name says that it is delimited text, compressed or not."""
    return _bare_suffix(path) in TEXT


def _bare_suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return suffixes[-2] if len(suffixes) > 1 and suffixes[-1] in _OPEN else "".join(suffixes[-1:])


def read_text_matrix(path: Path, sep: str | None = None) -> TextMatrix:
    """Read a matrix with a line of names on top and a column of names at the left.

    Dense text is never in memory whole: lines become sparse rows some 4 million values at a time.

    Parameters
    ----------
    path
        The file.
    sep
        What stands between values; None takes the commonest of tab, comma, semicolon and space in the first two lines.

    Raises
    ------
    ValueError
        A value is no number, or lines are not of equal length.
    """
    names, sep, n_columns = _first_lines(path, sep)
    if n_columns < 2:
        raise ValueError(f"`{path}` has one column only; expected names of rows, and values, with `sep=` between them.")
    rows: list[str] = []
    blocks: list[sparse.csr_matrix] = []
    with _open(path) as lines:
        next(lines)
        while some := [line for line in islice(lines, max(1, _AT_ONCE // n_columns)) if line.strip()]:
            blocks.append(sparse.csr_matrix(_numbers(path, some, sep, n_columns, rows)))
    if not blocks:
        raise ValueError(f"`{path}` holds no row below its first line.")
    values = sparse.vstack(blocks, format="csr")
    return TextMatrix(values, pd.Index(rows, dtype=object), pd.Index(names, dtype=object))


def _numbers(path: Path, lines: list[str], sep: str, n_columns: int, names: list[str]) -> np.ndarray:
    """Values (n_lines, n_columns - 1) of some lines, whose names are added to the list."""
    first, parts = len(names), []
    for line in lines:
        quoted = line.startswith('"') and '"' in line[1:]
        end = line.index('"', 1) + 1 if quoted else line.find(sep)
        names.append(line[:end].strip('"'))
        parts.append(line[end + 1 :])
    try:
        values = np.loadtxt(parts, np.float32, delimiter=sep, quotechar='"', comments=None, ndmin=2)
        if values.shape[1] != n_columns - 1:
            raise ValueError(f"lines of {values.shape[1]} values where {n_columns - 1} are expected")
    except ValueError as error:
        found = str(error).rstrip(".")
        raise ValueError(
            f"`{path}` could not be read as a matrix of numbers: {found}, counted from line {first + 2} and from the "
            "first column beside the names. Expected a first line and a first column of names, and numbers beside "
            "them; columns with labels belong into the file of `labels=`."
        ) from error
    return values


def read_label_table(path: Path, sep: str | None = None) -> pd.DataFrame:
    """Read a table whose first column names the cells; a single column is the labels of all cells, in order.

    Parameters
    ----------
    path
        The file.
    sep
        As in :func:`read_text_matrix`.
    """
    names, sep, n_columns = _first_lines(path, sep, single=True)
    table = pd.read_csv(path, sep=sep, header=None, skiprows=1, dtype={0: str}, low_memory=False)
    if n_columns == 1:
        return table.set_axis(names, axis=1).reset_index(drop=True)
    return table.set_index(0).set_axis(names, axis=1).rename_axis(None)


def _open(path: Path) -> IO[str]:
    return _OPEN.get(path.suffix.lower(), open)(path, "rt", encoding="utf-8-sig", newline="")


def _first_lines(path: Path, sep: str | None, *, single: bool = False) -> tuple[list[str], str, int]:
    """Names of the columns with values, the separator, and the number of columns with that of the names."""
    with _open(path) as lines:
        first, second = lines.readline(), lines.readline()
    if not second.strip():
        raise ValueError(f"`{path}` holds no row below its first line.")
    if sep is None:
        sep = max(_SEPARATORS, key=lambda each: min(first.count(each), second.count(each)))
    header, width = next(csv.reader([first], delimiter=sep)), len(next(csv.reader([second], delimiter=sep)))
    if single and width == len(header) == 1:
        return header, sep, 1
    if width - len(header) not in (0, 1):
        raise ValueError(
            f"`{path}` has {len(header)} names in its first line ({listing(header, 3)}) and {width} entries in the "
            f"next, with {sep!r} between them. Is another separator meant? Pass `sep=`."
        )
    return (header if width > len(header) else header[1:]), sep, width
