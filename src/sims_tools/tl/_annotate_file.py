"""Where the results of a store go: into it, into a file of their own, into the object that was opened from it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import anndata

from sims_tools._log import logger
from sims_tools.data._stored_matrix import H5AD, ZARR
from sims_tools.models import ClassifierModel
from sims_tools.stores._append import append, check_appendable
from sims_tools.stores._append_hdf5 import check_space
from sims_tools.stores._new_store import write_new
from sims_tools.stores._plan import Plan, parts_folder
from sims_tools.stores._source import Source, StoreRef
from sims_tools.tl._annotate_part import Cells
from sims_tools.tl._annotate_store import annotate_parts, assemble, names_of
from sims_tools.tl._cell_calls import Request
from sims_tools.tl._write import Results, as_earlier, entry_of, slots_of

if TYPE_CHECKING:
    from collections.abc import Mapping


def annotate_into_store(
    store: StoreRef,
    model: ClassifierModel,
    request: Request,
    *,
    resume: bool,
    n_jobs: int | None,
    progress_bar: bool,
    in_memory: bool = False,
) -> Results | None:
    """Annotate a store, and append the results to it.

    Parameters
    ----------
    store
        On a disk.
    model, request, resume, n_jobs, progress_bar
        As :func:`~sims_tools.tl._annotate_store.annotate_parts` takes them.
    in_memory
        Give the results, too.
    """
    path, folder = store.path, parts_folder(store.path)
    check_appendable(store)
    plan, elements, uns = annotate_parts(
        store, model, request, folder, resume=resume, n_jobs=n_jobs, progress_bar=progress_bar
    )
    earlier = _earlier(store, request.key_added)
    entry = entry_of(uns, [element.slot for element in elements], earlier)
    check_space(path.parent, _n_bytes(plan))
    replaced = [slot for slot in slots_of(earlier) if slot.startswith(("obs/", "obsm/"))]
    append(store, elements, plan.parts[-1][1], uns=(request.key_added, entry), replaced=replaced)
    results = assemble(elements, uns) if in_memory else None
    plan.delete()
    logger.info("The annotation is in `%s`.", path)
    return results


def annotate_into_memory(
    store: StoreRef, model: ClassifierModel, request: Request, *, resume: bool, n_jobs: int | None, progress_bar: bool
) -> Results:
    """Annotate a store, and give the results, of which nothing stays on the disk.

    Parameters
    ----------
    store, model, request, resume, n_jobs, progress_bar
        As :func:`~sims_tools.tl._annotate_store.annotate_parts` takes them.
    """
    plan, elements, uns = annotate_parts(
        store, model, request, parts_folder(store.path), resume=resume, n_jobs=n_jobs, progress_bar=progress_bar
    )
    results = assemble(elements, uns)
    plan.delete()
    return results


def annotate_into_new(
    store: Cells,
    model: ClassifierModel,
    request: Request,
    output: Path,
    *,
    resume: bool,
    n_jobs: int | None,
    progress_bar: bool,
) -> None:
    """Annotate cells, and write the results to a file of their own.

    Parameters
    ----------
    store
        The cells, which are only read.
    output
        Ends with ".h5ad" or ".zarr".
    model, request, resume, n_jobs, progress_bar
        As :func:`~sims_tools.tl._annotate_store.annotate_parts` takes them.
    """
    folder = parts_folder(output)
    check_output(output, resume=resume and folder.exists())
    plan, elements, uns = annotate_parts(
        store, model, request, folder, resume=resume, n_jobs=n_jobs, progress_bar=progress_bar
    )
    entry = entry_of(uns, [element.slot for element in elements], {})
    check_space(output.parent, _n_bytes(plan))
    write_new(output, names_of(store, plan), elements, plan.parts[-1][1], uns=(request.key_added, entry))
    plan.delete()
    logger.info("The annotation is in `%s`.", output)


def check_output(output: Path, *, resume: bool) -> None:
    """Raise where results could not be written to a file of their own.

    Parameters
    ----------
    output
        The file.
    resume
        Whether a run is being finished, which may have written it already.

    Raises
    ------
    ValueError
        Its kind is unknown.
    FileExistsError
        It is there.
    """
    if output.suffix.lower() not in (H5AD, ZARR):
        raise ValueError(f"`output={str(output)!r}` must end with .h5ad or .zarr.")
    if output.exists() and not resume:
        raise FileExistsError(f"`output={str(output)!r}` exists; choose another name, or delete it.")


def _earlier(store: StoreRef, key_added: str) -> Mapping[str, Any]:
    """What an earlier annotation under the same name, or a training, says of itself in the store."""
    with Source(store) as source:
        there = "uns" in source.group and key_added in source.group["uns"]
        return as_earlier(anndata.io.read_elem(source.group["uns"][key_added]) if there else None)


def _n_bytes(plan: Plan) -> int:
    """About as many as the results take."""
    return sum(part.path.stat().st_size for part in plan.finished())
