"""The annotation of some rows of a store: what a worker does, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from anndata import AnnData
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools.confidence import restrict
from sims_tools.data._align import GeneMatch
from sims_tools.data._kind import InputKind
from sims_tools.data._query import Query
from sims_tools.models import ClassifierModel, load
from sims_tools.stores._part_file import PartSummary, part_path, write_part
from sims_tools.stores._source import Place, Source
from sims_tools.tl._annotation import annotation
from sims_tools.tl._gather import gather
from sims_tools.tl._reject import find_novel

if TYPE_CHECKING:
    from sims_tools.stores._part_file import Column

_AT_ONCE = 8192
"""Cells that are read at a time; a multiple of the batch size near it."""


@dataclass(frozen=True)
class AnnotationJob:
    """What to do with each part of a store; it can be sent to another process, which reaches the same files.

    Attributes
    ----------
    place
        The store.
    model_folder, model_digest
        A saved model, and what identifies it.
    match
        Features of the store on those of the model.
    kind
        What the values are, resolved once for the whole store.
    key_added
        Name of the annotation.
    params
        Arguments of the annotation, as they are recorded.
    options
        Those that are not: `batch_size`, `embedding`.
    folder
        Where parts are kept.
    """

    place: Place
    model_folder: str
    model_digest: str
    match: GeneMatch
    kind: InputKind
    key_added: str
    folder: str
    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)


def annotate_part(job: AnnotationJob, start: int, stop: int) -> PartSummary:
    """Annotate some rows of a store, and keep the results in the file of that part.

    Parameters
    ----------
    job
        What to do.
    start, stop
        First row, and the row after the last.

    Raises
    ------
    ValueError
        Values are NaN, infinite or negative; the error names the cells.
    """
    began = time.perf_counter()
    model = read_model(job.model_folder, job.model_digest)
    keys, params, batch_size = Keys(job.key_added), job.params, job.options["batch_size"]
    allowed = None if params["classes"] is None else restrict(model.classes, params["classes"])
    with Source(job.place) as source:
        query = _PartOfStore(job, model, source, start, stop)
        novel = None
        if params["reject"] is not None:
            novel = find_novel(query, model, params["reject"], batch_size=batch_size)
        stream = model.read(query, batch_size=batch_size, explain=job.options["masks"])
        found = gather(stream, query.n_obs, embedding=job.options["embedding"])
    results = annotation(AnnData(), keys, model, job.match, found, novel, allowed, {**params, "groupby": None})
    computed = time.perf_counter()
    columns: dict[str, Column] = {f"obs/{name}": values for name, values in results.obs.items()}
    columns |= {f"obsm/{name}": values for name, values in results.obsm.items()}
    n_uncalled = int(found.empty.sum())
    n_bytes = write_part(part_path(Path(job.folder), start, stop), columns, {}, {"n_uncalled": n_uncalled})
    ended = time.perf_counter()
    reading = query.seconds
    return PartSummary(start, stop, n_bytes, reading, computed - began - reading, ended - computed, n_uncalled)


@lru_cache(maxsize=1)
def read_model(folder: str, digest: str) -> ClassifierModel:
    """A saved model, read once in a process."""
    return load(folder)


class _PartOfStore(Query):
    """Rows of a store as a model reads them, some at a time."""

    def __init__(self, job: AnnotationJob, model: ClassifierModel, source: Source, start: int, stop: int) -> None:
        self.match, self.kind, self.n_obs = job.match, job.kind, stop - start
        self.seconds = 0.0
        self._job, self._model, self._source, self._start, self._stop = job, model, source, start, stop

    def blocks(self, size: int) -> Iterator[tuple[int, sparse.csr_matrix, np.ndarray]]:
        """See :class:`~sims_tools.data._query.Query`."""
        step = max(_AT_ONCE // size, 1) * size
        for first in range(self._start, self._stop, step):
            began = time.perf_counter()
            cells = self._source.read(slice(first, min(first + step, self._stop)))
            self.seconds += time.perf_counter() - began
            where = {"protein_obsm_key": self._job.place.obsm_key} if self._job.place.obsm_key else {}
            query = self._model.query(cells, input_kind=self.kind, match=self.match, **where)
            for start, linear, totals in query.blocks(size):
                yield first - self._start + start, linear, totals
