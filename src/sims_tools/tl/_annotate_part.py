"""The annotation of some rows of a store: what a worker does, wherever it runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse

from sims_tools._keys import Keys
from sims_tools.confidence import restrict
from sims_tools.data._align import GeneMatch
from sims_tools.data._kind import InputKind
from sims_tools.data._query import Query
from sims_tools.models import ClassifierModel, load
from sims_tools.models._threads import repeatable_threads
from sims_tools.stores._part_file import PartSummary, part_path, write_part
from sims_tools.stores._resources import Resources
from sims_tools.stores._source import Place, Source
from sims_tools.tl._annotation import annotation
from sims_tools.tl._gather import gather
from sims_tools.tl._reject import find_novel

if TYPE_CHECKING:
    from sims_tools.models._inference import Inferred
    from sims_tools.stores._part_file import Column
    from sims_tools.tl._reject import Novelty

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
    accelerator
        "cpu", or "auto" for a GPU where there is one.
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
        found, novel, reading = _infer(job, model, start, stop)
        params = {**job.params, "groupby": None}
        keys, allowed = Keys(job.key_added), _allowed(job, model)
        results = annotation(AnnData(), keys, model, job.match, found, novel, allowed, params)
    computed = time.perf_counter()
    columns: dict[str, Column] = {f"obs/{name}": values for name, values in results.obs.items()}
    columns |= {f"obsm/{name}": values for name, values in results.obsm.items()}
    n_uncalled = int(found.empty.sum())
    n_bytes = write_part(part_path(Path(job.folder), start, stop), columns, {}, {"n_uncalled": n_uncalled})
    ended = time.perf_counter()
    return PartSummary(start, stop, n_bytes, reading, computed - began - reading, ended - computed, n_uncalled)


def _infer(job: AnnotationJob, model: ClassifierModel, start: int, stop: int) -> tuple[Inferred, Novelty | None, float]:
    """What a model says of some rows, which of them are rejected, and seconds that reading took."""
    batch_size, reject = job.options["batch_size"], job.params["reject"]
    with Source(job.place) as source:
        query = _PartOfStore(job, model, source, start, stop)
        novel = None if reject is None else find_novel(query, model, reject, batch_size=batch_size)
        stream = model.read(query, batch_size=batch_size, explain=job.options["masks"])
        return gather(stream, query.n_obs, embedding=job.options["embedding"]), novel, query.seconds


def _allowed(job: AnnotationJob, model: ClassifierModel) -> np.ndarray | None:
    """(n_classes,) bool: classes to consider; None is all."""
    classes = job.params["classes"]
    return None if classes is None else restrict(model.classes, classes)


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
