"""Annotation of a store larger than memory: part by part, then appended to it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import torch
from scipy import sparse

from sims_tools._log import logger
from sims_tools.confidence._vote import cast_votes, count_votes, winners
from sims_tools.models import ClassifierModel
from sims_tools.models._persist import read_header
from sims_tools.stores._elements import Element, element_of_parts
from sims_tools.stores._fingerprint import fingerprint
from sims_tools.stores._object_source import ObjectSource
from sims_tools.stores._part_file import Part
from sims_tools.stores._plan import Plan, boundaries
from sims_tools.stores._run_parts import run_parts
from sims_tools.stores._source import as_text
from sims_tools.tl._annotate_part import CODES, SIZES, SUMS, AnnotationJob, Cells, annotate_part, open_cells
from sims_tools.tl._annotation import describe_annotation, labels_of
from sims_tools.tl._cell_calls import Request
from sims_tools.tl._mask_modes import mean_masks
from sims_tools.tl._mask_slots import describe_features
from sims_tools.tl._reject import warn_of_missing
from sims_tools.tl._write import Results


def annotate_parts(
    store: Cells,
    model: ClassifierModel,
    request: Request,
    folder: Path,
    *,
    resume: bool,
    n_jobs: int | None,
    progress_bar: bool,
) -> tuple[Plan, list[Element], dict[str, Any]]:
    """Annotate all parts of a store, and keep them in a folder.

    Parameters
    ----------
    store
        The cells.
    model
        Trained.
    request
        What is asked.
    folder
        For the parts; it stays when something goes wrong, so that a further run can go on.
    resume
        Keep parts that are there.
    n_jobs
        As :func:`~sims_tools.stores._run_parts.run_parts` takes it.
    progress_bar
        Show one.

    Returns
    -------
    The plan, whose folder is to be deleted when the results are elsewhere; results by cell; and what `.uns` says.
    """
    job, plan, groups = plan_annotation(store, model, request, folder, resume=resume)
    left = plan.left()
    if len(left) < len(plan.parts):
        logger.info("%d of %d parts are there already.", len(plan.parts) - len(left), len(plan.parts))
    try:
        for _ in run_parts(annotate_part, job, left, plan_file=plan.file, n_jobs=n_jobs, progress_bar=progress_bar):
            pass
    except BaseException:
        logger.warning("Finished parts are kept in `%s`; the same call with `resume=True` goes on from there.", folder)
        raise
    with open_cells(store) as source:
        plan.check_store(fingerprint(source))
    parts = plan.finished()
    uns = describe_annotation(model, job.match, request.params)
    has_masks = SUMS in parts[0].kinds or f"obsm/{request.keys.masks}" in parts[0].kinds
    uns |= describe_features(model, job.match, masks=has_masks)
    if SUMS in parts[0].kinds:
        uns |= _means(parts)
    return plan, _elements(parts, model, request, groups), uns


def assemble(elements: Sequence[Element], uns: dict[str, Any]) -> Results:
    """The results of a store in memory."""
    results = Results(uns=uns)
    for element in elements:
        axis, name = element.slot.split("/", 1)
        getattr(results, axis)[name] = element.read()
    return results


def names_of(store: Cells, plan: Plan) -> Element:
    """The names of the cells as they are written into a store of results."""
    with open_cells(store) as source:
        name = source.index.name if isinstance(source, ObjectSource) else str(source.group["obs"].attrs["_index"])

    def pieces() -> Iterator[np.ndarray]:
        with open_cells(store) as source:
            for start, stop in plan.parts:
                yield as_text(source.index[slice(start, stop)])

    return Element(f"obs/{name}", np.array([], dtype=object), pieces)


def plan_annotation(
    store: Cells, model: ClassifierModel, request: Request, folder: Path, *, resume: bool
) -> tuple[AnnotationJob, Plan, np.ndarray | None]:
    """Look at a store, and write down what is to be done with it; with the group of each cell (n_obs,) to vote in."""
    store, folder = store.absolute(), folder.absolute()
    with open_cells(store) as source:
        where = {} if store.obsm_key is None else {"protein_obsm_key": store.obsm_key}
        query = model.query(source.sample(), input_kind=request.params["input_kind"], **where)
        if request.params["reject"] is not None:
            warn_of_missing(model, query.match)
        if source.rows.column_major:
            logger.warning(
                "The matrix of `%s` is stored by columns (CSC): all of it is read for every %d cells. Written once as "
                "CSR it is read as a whole once.", store.location, request.part_size,
            )  # fmt: skip
        groupby, groups = request.params["groupby"], None
        if groupby is not None:
            groups = pd.factorize(source.obs_column(groupby, "groupby"))[0].astype(np.int32)
        asked = {"store": fingerprint(source), "key_added": request.key_added, **request.params}
        parts = boundaries(source.n_obs, request.part_size)
    asked |= {name: getattr(request, name) for name in ("embedding", "probabilities", "batch_size", "part_size")}
    asked["n_mask_features"] = request.masks.n_features
    with keep_model(model, folder) as (place, digest):
        plan = Plan(folder, {**asked, "model": digest}, parts, resume=resume)
    accelerator = "cpu" if torch.cuda.is_available() and model.device.type == "cpu" else "auto"
    job = AnnotationJob(store, str(place), digest, query.match, query.kind, request, str(folder), accelerator)
    return job, plan, groups


@contextmanager
def keep_model(model: ClassifierModel, folder: Path) -> Iterator[tuple[Path, str]]:
    """Save a model, and put it into a folder that is made in the block, where it is not there already.

    Parameters
    ----------
    model
        Trained.
    folder
        Where workers are to find it.

    Yields
    ------
    Where it will be, and what identifies it.
    """
    draft, place = folder.with_name(f".{folder.name}-{uuid4().hex}"), folder / "model"
    try:
        model.save(draft)
        yield place, str(read_header(draft)["header_sha256"])
        if not place.exists():
            draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _means(parts: Sequence[Part]) -> dict[str, Any]:
    """Mean masks of the classes, summed part by part."""
    sums, n_cells = np.zeros(parts[0].kinds[SUMS]["shape"]), np.zeros(parts[0].kinds[SUMS]["shape"][0], np.int64)
    for part in parts:
        sums += sparse.csr_matrix(part.read(SUMS)).toarray()
        n_cells += part.read(SIZES)
    return {"mean_masks": mean_masks(sums, n_cells), "mean_mask_cells": n_cells}


def _elements(
    parts: Sequence[Part], model: ClassifierModel, request: Request, groups: np.ndarray | None
) -> list[Element]:
    """All results by cell, in the order in which they stand in an object."""
    elements = [element_of_parts(slot, parts) for slot in parts[0].columns]
    if groups is None:
        return elements
    keys = request.keys
    after = {f"obs/{keys.set_size}", f"obs/{keys.rna_share}"}
    at = next(i for i, each in enumerate(elements) if each.slot in after or not each.slot.startswith("obs/"))
    elements[at:at] = _votes(parts, model, request, groups, elements[0].empty)
    return elements


def _votes(
    parts: Sequence[Part], model: ClassifierModel, request: Request, groups: np.ndarray, labels: pd.Categorical
) -> list[Element]:
    """The majority in each group of cells, counted part by part, and its share."""
    n_codes, keys = len(model.classes) + 1, request.keys
    rows = [slice(*map(int, part.path.stem.split("-")[1:])) for part in parts]
    table = np.zeros((int(groups.max(initial=-1)) + 1, n_codes), dtype=np.int64)
    for part, cells in zip(parts, rows, strict=True):
        table += count_votes(part.read(CODES), groups[cells], len(table), n_codes)
    best, shares = winners(table)
    rejects = len(labels.categories) > len(model.classes)

    def votes(which: int) -> Iterator[Any]:
        for part, cells in zip(parts, rows, strict=True):
            found = cast_votes(part.read(CODES), groups[cells], best, shares)
            yield found[1] if which else labels_of(found[0], model.classes, rejects)

    return [
        Element(f"obs/{keys.majority}", labels, lambda: votes(0)),
        Element(f"obs/{keys.majority_share}", np.empty(0, np.float32), lambda: votes(1)),
    ]
