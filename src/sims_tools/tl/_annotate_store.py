"""Annotation of a store larger than memory: part by part, then appended to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from sims_tools.models import ClassifierModel
from sims_tools.models._persist import read_header
from sims_tools.stores._fingerprint import fingerprint
from sims_tools.stores._plan import Plan, boundaries
from sims_tools.stores._run_parts import run_parts
from sims_tools.stores._source import Place, Source
from sims_tools.tl._annotate_part import AnnotationJob, annotate_part


def plan_annotation(
    place: Place,
    model: ClassifierModel,
    folder: Path,
    key_added: str,
    params: dict[str, Any],
    options: dict[str, Any],
    *,
    part_size: int,
    resume: bool,
) -> tuple[AnnotationJob, Plan]:
    """Look at a store, and write down what is to be done with it.

    Parameters
    ----------
    place
        The store.
    model
        Trained.
    folder
        For parts.
    key_added
        Name of the annotation.
    params, options
        As :class:`AnnotationJob` has them.
    part_size
        Rows of a part; the next multiple of the batch size is taken.
    resume
        Keep parts that are there.
    """
    place, folder = place.absolute(), folder.absolute()
    with Source(place) as source:
        query = model.query(source.sample(), input_kind=params["input_kind"], **_where(place))
        found = fingerprint(source)
        part_size = -(-part_size // options["batch_size"]) * options["batch_size"]
        parts = boundaries(source.n_obs, part_size)
    draft = folder.with_name(f"{folder.name}-model")
    model.save(draft, overwrite=True)
    digest = str(read_header(draft)["header_sha256"])
    asked = {"store": found, "model": digest, "part_size": part_size, "key_added": key_added}
    plan = Plan(folder, {**asked, **params, **options}, parts, resume=resume)
    place_of_model = folder / "model"
    if place_of_model.exists():
        _remove(draft)
    else:
        draft.rename(place_of_model)
    job = AnnotationJob(
        place,
        str(place_of_model),
        digest,
        query.match,
        query.kind,
        key_added,
        str(folder),
        params,
        options,
        _accelerator(model),
    )
    return job, plan


def run_annotation(job: AnnotationJob, plan: Plan, *, n_jobs: int | None, progress_bar: bool) -> None:
    """Do the parts that are left."""
    how: dict[str, Any] = {"plan_file": plan.file, "n_jobs": n_jobs, "progress_bar": progress_bar}
    for _ in run_parts(annotate_part, job, plan.left(), **how):
        pass


def _accelerator(model: ClassifierModel) -> str:
    """What workers put the model on: a CPU where the model was put there although there is a GPU."""
    return "cpu" if torch.cuda.is_available() and model.device.type == "cpu" else "auto"


def _where(place: Place) -> dict[str, Any]:
    return {} if place.obsm_key is None else {"protein_obsm_key": place.obsm_key}


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)
