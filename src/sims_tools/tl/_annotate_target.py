"""What the first argument of an annotation may be, and where the results of each go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from anndata import AnnData

from sims_tools._log import logger
from sims_tools._validate import listing
from sims_tools.data._obs_columns import obs_column
from sims_tools.data._parts import is_mudata
from sims_tools.data._read_cells import check_path, read_cells
from sims_tools.data._stored_matrix import H5AD, ZARR
from sims_tools.models import ClassifierModel
from sims_tools.stores._object_source import ObjectSource
from sims_tools.stores._source import Source, StoreRef, is_url
from sims_tools.tl._annotate_file import annotate_into_memory, annotate_into_new, annotate_into_store
from sims_tools.tl._annotate_part import Cells, open_cells
from sims_tools.tl._annotation import describe_annotation
from sims_tools.tl._cell_calls import Request, call_cells
from sims_tools.tl._mask_slots import add_masks, describe_features
from sims_tools.tl._reject import NEIGHBORS, warn_of_missing
from sims_tools.tl._write import Results, check_target, write_annotation

if TYPE_CHECKING:
    from mudata import MuData


@dataclass(frozen=True)
class Run:
    """How parts are done.

    Attributes
    ----------
    resume
        Keep parts of an earlier run.
    n_jobs
        As :func:`~sims_tools.stores._run_parts.run_parts` takes it.
    progress_bar
        Show one.
    """

    resume: bool
    n_jobs: int | None
    progress_bar: bool


def check_cells(cells: Any) -> None:
    """Raise where it is nothing that can be annotated, or one of a list is not."""
    if isinstance(cells, list | tuple):
        if not cells:
            raise ValueError("`adata` is an empty list; there is nothing to annotate.")
        for each in cells:
            check_cells(each)
    elif not isinstance(cells, str | Path):
        check_target(cells)


def annotate_object(adata: AnnData | MuData, model: ClassifierModel, request: Request, run: Run) -> None:
    """Annotate an object in this process, and write the results into it."""
    params, where = request.params, ("modalities", "protein_layer", "protein_obsm_key")
    how = {name: params[name] for name in where if name in params}
    query = model.query(adata, layer=params["layer"], input_kind=params["input_kind"], **how)
    if params["reject"] is not None:
        warn_of_missing(model, query.match)
    groups = None
    if params["groupby"] is not None:
        groups = pd.factorize(obs_column(adata, params["groupby"], "groupby"))[0]
    calls = call_cells(query, model, request, groups=groups, progress_bar=run.progress_bar)
    results, masks, kept = calls.results, calls.found.masks, calls.kept
    results.uns = describe_annotation(model, query.match, params)
    results.uns |= describe_features(model, query.match, masks=masks is not None or kept.sums is not None)
    add_masks(results, adata, request.keys, model, query.match, masks, kept)
    write_annotation(adata, request.keys, results)
    if adata.isbacked:
        logger.info("The annotation is in memory; `adata.write_h5ad(path)` saves it.")


def annotate_backed(adata: AnnData, model: ClassifierModel, request: Request, run: Run) -> None:
    """Annotate the file of a backed object, and put the results into the object, too.

    They are appended to the file where it was opened for writing.
    """
    store = _checked(StoreRef(str(adata.filename), request.params["layer"]), model, request)
    how: dict[str, Any] = {"resume": run.resume, "n_jobs": run.n_jobs, "progress_bar": run.progress_bar}
    with Source(store) as source:
        if source.n_obs != adata.n_obs or not source.var.index.equals(adata.var_names):
            raise ValueError(f"`{store.location}` does not hold the cells and genes of `adata`; open it again.")
    if adata.file._filemode != "r+":
        write_annotation(adata, request.keys, annotate_into_memory(store, model, request, **how))
        return
    adata.file.close()
    try:
        results = annotate_into_store(store, model, request, in_memory=True, **how)
    finally:
        adata.file.open(store.path, "r+")
    write_annotation(adata, request.keys, results or Results())


def annotate_path(path: str | Path, model: ClassifierModel, request: Request, run: Run, output: Path | None) -> None:
    """Annotate a store, or a file of another kind, which is read whole."""
    how: dict[str, Any] = {"resume": run.resume, "n_jobs": run.n_jobs, "progress_bar": run.progress_bar}
    if not is_url(path):
        _refuse_mudata(Path(path))
        if check_path(path).suffix.lower() not in (H5AD, ZARR):
            if output is None:
                raise ValueError(
                    f"`{Path(path).name}` is read whole, and nothing can be appended to it: give "
                    "`output='results.h5ad'`."
                )
            annotate_to_output(read_cells(path), model, request, run, output)
            return
    store = _checked(StoreRef(str(path), request.params["layer"]), model, request)
    if output is None:
        annotate_into_store(store, model, request, **how)
    else:
        annotate_into_new(store, model, request, output, **how)


def annotate_to_output(adata: AnnData, model: ClassifierModel, request: Request, run: Run, output: Path) -> None:
    """Annotate an object, and write the results to a file of their own."""
    layer = request.params["layer"]
    if adata.isbacked and not adata.is_view:
        store: Cells = StoreRef(str(adata.filename), layer)
    elif run.n_jobs in (None, 1):
        store, run = ObjectSource(adata, layer, None), replace(run, n_jobs=1)
    else:
        raise ValueError(
            f"`n_jobs={run.n_jobs}`: parts run side by side where each process can open the cells by itself. Give the "
            "path of their file in place of the object, or leave out `n_jobs`."
        )
    store = _checked(store, model, request)
    annotate_into_new(
        store, model, request, output, resume=run.resume, n_jobs=run.n_jobs, progress_bar=run.progress_bar
    )


def annotate_list(
    cells: Sequence[Any], model: ClassifierModel, request: Request, run: Run, output: Path | None
) -> None:
    """Annotate one after the other; `output` is a folder then, with a file for each."""
    targets: list[Path | None] = [None] * len(cells)
    if output is not None:
        if objects := [type(each).__name__ for each in cells if not isinstance(each, str | Path)]:
            raise TypeError(
                f"With `output`, a list holds paths, whose names the results get; found {listing(objects)}."
            )
        names = [Path(str(each).rstrip("/")).name for each in cells]
        if len(set(names)) < len(names):
            raise ValueError(f"Several files have one name ({listing(names)}), which results in one folder cannot.")
        targets = [output / (name if Path(name).suffix in (H5AD, ZARR) else f"{name}{H5AD}") for name in names]
    for each, target in zip(cells, targets, strict=True):
        annotate_any(each, model, request, run, target)


def annotate_any(cells: Any, model: ClassifierModel, request: Request, run: Run, output: Path | None) -> None:
    """Annotate what there is, in the way that suits it."""
    if isinstance(cells, list | tuple):
        annotate_list(cells, model, request, run, output)
        return
    if isinstance(cells, str | Path):
        annotate_path(cells, model, request, run, output)
        return
    if output is not None:
        if is_mudata(cells):
            raise ValueError("`output` takes results of an AnnData or a file of one; write the annotated MuData.")
        annotate_to_output(cells, model, request, run, output)
    elif cells.isbacked and (cells.file._filemode == "r+" or run.n_jobs not in (None, 1)):
        annotate_backed(cells, model, request, run)
    elif run.n_jobs not in (None, 1) or run.resume:
        asked = "resume" if run.resume else "n_jobs"
        raise ValueError(
            f"`{asked}` is for cells in a file, which is annotated in parts: give its path. An object is annotated in "
            "this process, by as many threads as torch has."
        )
    else:
        annotate_object(cells, model, request, run)


def _refuse_mudata(path: Path) -> None:
    if path.suffix.lower() in (".h5mu", ".zmu"):
        raise ValueError(
            f"`{path.name}` holds a MuData, which is not annotated in its file: read it with `mudata.read` and give "
            "the object, or write the cells as an AnnData with the proteins in `.obsm`."
        )


def _checked(store: Cells, model: ClassifierModel, request: Request) -> Any:
    """The store, with the entry of `.obsm` that the model reads."""
    params = request.params
    if params["reject"] is not None and params["reject_by"] == NEIGHBORS:
        raise ValueError(
            "`reject_by='neighbors'` compares each cell with all others, which a store is not read for; use "
            "`reject_by='cell'`, or read the cells into memory."
        )
    if asked := [name for name in ("modalities", "protein_layer") if name in params]:
        raise ValueError(f"`{asked[0]}` is for a MuData; proteins of a store are named with `protein_obsm_key`.")
    if not model.proteins_:
        return store
    key = params.get("protein_obsm_key")
    if key is None:
        usual = model.registry_["setup_args"].get("protein_obsm_key")
        with open_cells(store) as source:
            key = usual if usual is not None and source.holds_obsm(usual) else None
    if isinstance(store, StoreRef):
        return replace(store, obsm_key=key)
    store.obsm_key = key
    return store
