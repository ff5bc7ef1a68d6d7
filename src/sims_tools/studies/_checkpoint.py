"""Finished runs on disk, so that an interrupted study goes on where it was."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from sims_tools import __version__
from sims_tools._digest import digest
from sims_tools._whole_file import whole_file
from sims_tools.studies._cells import StudyCells
from sims_tools.studies._run import Result, Run

_FORMAT = 1


class Checkpoint:
    """A folder with one small JSON file for each finished run; without a folder nothing is kept.

    Parameters
    ----------
    folder
        Made where it does not exist, at the first run that is kept.
    cells
        Of the study.
    """

    def __init__(self, folder: str | Path | None, cells: StudyCells) -> None:
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None and self._folder.exists() and not self._folder.is_dir():
            raise ValueError(f"`checkpoint={str(folder)!r}` is a file; expected a folder, which may be new.")
        self._cells = "" if folder is None else _digest_cells(cells)

    def read(self, run: Run) -> Result | None:
        """What the run gave, where it was finished before.

        Raises
        ------
        ValueError
            The folder holds this run with other cells, parameters or folds, or of another version, or a damaged file.
        """
        if self._folder is None or not (path := self._path(run)).exists():
            return None
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
            found, result = stored["digests"], stored["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{str(path)!r} is damaged ({error}). Delete it, and the run is done again.") from error
        expected = self._digests(run)
        if differing := [name for name, value in expected.items() if found.get(name) != value]:
            raise ValueError(
                f"{str(path)!r} holds {run.label!r} of another study: {', '.join(differing)} differ. "
                "Give another folder as `checkpoint`, or delete this one to begin again."
            )
        return result

    def write(self, run: Run, result: Result) -> None:
        """Keep a finished run: the file is there whole, or not at all."""
        if self._folder is None:
            return
        text = json.dumps({"digests": self._digests(run), "run": run.label, "result": result}, indent=1)
        with whole_file(self._path(run)) as draft:
            draft.write_text(text, encoding="utf-8")

    def _path(self, run: Run) -> Path:
        """A name that can be read, and that no other run has."""
        readable = re.sub(r"[^A-Za-z0-9.]+", "-", run.label).strip("-.")[:80]
        return Path(self._folder or "") / f"{readable}-{digest(run.label.encode())[:8]}.json"

    def _digests(self, run: Run) -> dict[str, Any]:
        """What must be the same for a run to give the same, by the name it has in the message."""
        method, fold = run.method, run.fold
        parameters = json.dumps([method.name, method.options, fold.seed], sort_keys=True, default=repr)
        groups = "\0".join(fold.groups).encode()
        return {
            "cells": self._cells,
            "parameters": digest(parameters.encode()),
            "folds": digest(fold.train.astype(np.int64), fold.test.astype(np.int64), groups),
            "version": f"{_FORMAT}, sims-tools {__version__}",
        }


def _digest_cells(cells: StudyCells) -> str:
    """Of all that a run reads of the cells: counts, names of genes, labels, proteins, further columns."""
    matrix, n_stored = cells.matrix, int(cells.matrix.indptr[-1])
    arrays: list[Any] = [matrix.data[:n_stored], matrix.indices[:n_stored], matrix.indptr, cells.labels.codes]
    words = [*cells.genes, *cells.labels.classes, cells.input_kind]
    if cells.proteins is not None:
        arrays.append(np.ascontiguousarray(cells.proteins.to_numpy()))
        words += list(cells.proteins.columns)
    words += [cells.columns.to_csv()] if cells.columns.shape[1] else []
    return digest(*arrays, "\0".join(map(str, words)).encode())
