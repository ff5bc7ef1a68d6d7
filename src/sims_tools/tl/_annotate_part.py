"""The annotation of some rows of a store: what a worker does, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from scipy import sparse

from sims_tools._validate import listing
from sims_tools.data._align import GeneMatch
from sims_tools.data._kind import InputKind
from sims_tools.data._query import Query
from sims_tools.models import ClassifierModel, load
from sims_tools.models._threads import repeatable_threads
from sims_tools.stores._object_source import ObjectSource
from sims_tools.stores._part_file import PartSummary, part_path, write_part
from sims_tools.stores._resources import Resources
from sims_tools.stores._source import Source, StoreRef, as_text
from sims_tools.tl._cell_calls import CellCalls, Request, call_cells
from sims_tools.tl._mask_slots import add_masks

if TYPE_CHECKING:
    from sims_tools.stores._part_file import Column

SUMS, SIZES, CODES = "sums of masks", "cells of classes", "codes of labels"
"""Names of what a part keeps for means, and for votes."""

Cells: TypeAlias = StoreRef | ObjectSource
"""A store, which any process can open, or an object, which is in this one."""

Reader: TypeAlias = Source | ObjectSource

_AT_ONCE = 8192
"""Cells that are read at a time; a multiple of the batch size near it."""


@dataclass(frozen=True)
class AnnotationJob:
    """What to do with each part of a store; it can be sent to another process, which reaches the same files.

    Attributes
    ----------
    store
        The cells.
    model_folder, model_digest
        A saved model, and what identifies it.
    match
        Features of the store on those of the model.
    kind
        What the values are, resolved once for the whole store.
    request
        What is asked.
    folder
        Where parts are kept.
    accelerator
        "cpu", or "auto" for a GPU where there is one.
    """

    store: Cells
    model_folder: str
    model_digest: str
    match: GeneMatch
    kind: InputKind
    request: Request
    folder: str
    accelerator: str = "auto"


def annotate_part(job: AnnotationJob, start: int, stop: int, resources: Resources) -> PartSummary:
    """Annotate some rows of a store, and keep the results in the file of that part.

    Parameters
    ----------
    job
        What to do.
    start, stop
        First row, and the row after the last.
    resources
        What it may use; the results do not depend on it, but for a GPU in place of none.

    Raises
    ------
    ValueError
        Values are NaN, infinite or negative; the error names the cells.
    """
    began = time.perf_counter()
    model = read_model(job.model_folder, job.model_digest, job.accelerator, resources.device)
    with _on_device(model), repeatable_threads(model.module.network, resources.n_threads):
        with open_cells(job.store) as source:
            query = _PartOfStore(job, model, source, start, stop)
            calls = call_cells(query, model, job.request, groups=None, progress_bar=False)
    columns, extra = _by_slot(calls, model, job)
    computed = time.perf_counter()
    n_empty = int(calls.found.empty.sum())
    n_bytes = write_part(part_path(Path(job.folder), start, stop), columns, extra, {"n_empty": n_empty})
    seconds = {
        "seconds_reading": query.seconds,
        "seconds_computing": computed - began - query.seconds,
        "seconds_writing": time.perf_counter() - computed,
    }
    return PartSummary(start, stop, n_bytes, n_empty=n_empty, **seconds)


def open_cells(store: Cells) -> Reader:
    """Reads the cells, as a context."""
    return store if isinstance(store, ObjectSource) else Source(store)


@lru_cache(maxsize=1)
def read_model(folder: str, digest: str, accelerator: str = "auto", device: int | None = None) -> ClassifierModel:
    """A saved model, read once in a process.

    Parameters
    ----------
    folder, digest
        Where it is, and what identifies it.
    accelerator
        "cpu", or "auto" for a GPU where there is one.
    device
        Index of the CUDA device; None is the first.
    """
    if device is None or accelerator == "cpu":
        return load(folder, accelerator=accelerator)
    model = load(folder, accelerator="cpu")
    model.to_device(torch.device("cuda", device))
    return model


def _on_device(model: ClassifierModel) -> AbstractContextManager[object]:
    """Make the device of a model the one on which kernels are begun."""
    return torch.cuda.device(model.device) if model.device.type == "cuda" else nullcontext()


def _by_slot(
    calls: CellCalls, model: ClassifierModel, job: AnnotationJob
) -> tuple[dict[str, Column], dict[str, Column]]:
    """Results of each cell by slot; and what else is kept of the part."""
    results, kept = calls.results, calls.kept
    add_masks(results, None, job.request.keys, model, job.match, calls.found.masks, kept)
    columns: dict[str, Column] = {f"obs/{name}": values for name, values in results.obs.items()}
    columns |= {f"obsm/{name}": values for name, values in results.obsm.items()}
    extra: dict[str, Column] = {}
    if kept.sums is not None:
        extra |= {SUMS: sparse.csr_matrix(kept.sums.sums), SIZES: kept.sums.n_cells}
    if job.request.params["groupby"] is not None:
        extra[CODES] = calls.codes.astype(np.int32)
    return columns, extra


class _PartOfStore(Query):
    """Rows of a store as a model reads them, some at a time.

    Attributes
    ----------
    seconds
        Spent on reading so far.
    """

    def __init__(self, job: AnnotationJob, model: ClassifierModel, source: Reader, start: int, stop: int) -> None:
        self.match, self.kind, self.n_obs = job.match, job.kind, stop - start
        self.seconds = 0.0
        self._job, self._model, self._source, self._start, self._stop = job, model, source, start, stop

    def blocks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
        """See :class:`~sims_tools.data._query.Query`."""
        step = max(_AT_ONCE // size, 1) * size
        key = self._job.store.obsm_key
        where = {} if key is None else {"protein_obsm_key": key}
        for first in range(self._start, self._stop, step):
            began = time.perf_counter()
            cells = self._source.read(slice(first, min(first + step, self._stop)))
            self.seconds += time.perf_counter() - began
            try:
                query = self._model.query(cells, input_kind=self.kind, match=self.match, **where)
                for start, linear, totals in query.blocks(size):
                    yield first - self._start + start, linear, totals
            except ValueError as error:
                raise ValueError(f"{self._bad_rows(first, cells.X)}: {error}") from error

    def _bad_rows(self, first: int, values: sparse.csr_matrix) -> str:
        """Says which cells cannot be read."""
        bad = ~np.isfinite(values.data) | (values.data < 0)
        rows = np.unique(np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))[bad])
        where = f"`{self._job.store.location}`"
        if not len(rows):
            return f"{where}, cells {first} to {first + values.shape[0] - 1}"
        names = [as_text(self._source.index[slice(first + row, first + row + 1)])[0] for row in rows[:3].tolist()]
        more = f" and {len(rows) - 3} more" if len(rows) > 3 else ""
        return f"{where}, rows {', '.join(map(str, (first + rows[:3]).tolist()))}{more} ({listing(names)})"
