"""Results of a run of cells in a file of their own, which is there whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from scipy import sparse

from sims_tools._whole_file import whole_file

Column: TypeAlias = np.ndarray | sparse.csr_matrix | pd.Categorical
"""What is kept of some cells under one name; its first axis is theirs."""

_ABOUT = "about"


@dataclass(frozen=True)
class PartSummary:
    """What one part of the work came to.

    Attributes
    ----------
    start, stop
        Its rows of the store.
    n_bytes
        Size of its file.
    seconds_reading, seconds_computing, seconds_writing
        Where its time went.
    n_empty
        Cells without counts.
    """

    start: int
    stop: int
    n_bytes: int
    seconds_reading: float
    seconds_computing: float
    seconds_writing: float
    n_empty: int = 0


def part_path(folder: Path, start: int, stop: int) -> Path:
    """The file of some rows."""
    return folder / f"part-{start:012d}-{stop:012d}.npz"


def write_part(path: Path, columns: Mapping[str, Column], sums: Mapping[str, Any], about: Mapping[str, Any]) -> int:
    """Write a part, and give the size of its file.

    Parameters
    ----------
    path
        The file.
    columns
        Results by slot ("obs/sims"), one row for each cell.
    sums
        Arrays and CSR matrices that are not by cell, to be added up over all parts.
    about
        Anything else that JSON can hold.
    """
    arrays: dict[str, np.ndarray] = {}
    kinds = {name: _take_apart(name, value, arrays) for name, value in (dict(columns) | dict(sums)).items()}
    stored = {"kinds": kinds, "columns": list(columns), "about": dict(about)}
    arrays[_ABOUT] = np.frombuffer(json.dumps(stored).encode(), np.uint8)
    with whole_file(path) as draft:
        with draft.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        return draft.stat().st_size


class Part:
    """Reads a part, one result at a time.

    Parameters
    ----------
    path
        Its file.

    Raises
    ------
    ValueError
        It is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with np.load(path) as file:
                stored = json.loads(file[_ABOUT].tobytes())
                self.kinds: dict[str, dict[str, Any]] = stored["kinds"]
                self.columns: list[str] = stored["columns"]
                self.about: dict[str, Any] = stored["about"]
        except (BadZipFile, ValueError, KeyError, EOFError) as error:
            raise ValueError(f"`{path}` is damaged ({error}). Delete it, and this part is done again.") from error

    def read(self, name: str) -> Column:
        """One of its results."""
        kind = self.kinds[name]
        with np.load(self.path) as file:
            if kind["is"] == "csr":
                arrays = tuple(file[f"{name}/{each}"] for each in ("data", "indices", "indptr"))
                return sparse.csr_matrix(arrays, shape=tuple(kind["shape"]))
            values = file[name]
        if kind["is"] == "categorical":
            return pd.Categorical.from_codes(values, kind["categories"])
        return values

    def check(self) -> None:
        """Read all of it, and raise ValueError where any is damaged."""
        try:
            with np.load(self.path) as file:
                for name in file.files:
                    file[name]
        except (BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
            raise ValueError(f"`{self.path}` is damaged ({error}).") from error


def _take_apart(name: str, value: Column, arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Put a result into arrays, and say how to put it together again."""
    if isinstance(value, sparse.csr_matrix):
        arrays |= {f"{name}/{each}": getattr(value, each) for each in ("data", "indices", "indptr")}
        return {"is": "csr", "shape": list(value.shape), "n_stored": int(value.nnz)}
    if isinstance(value, pd.Categorical):
        arrays[name] = np.asarray(value.codes)
        return {"is": "categorical", "categories": [str(each) for each in value.categories]}
    arrays[name] = np.asarray(value)
    return {"is": "array"}
