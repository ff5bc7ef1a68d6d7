"""What `train` and `annotate` do: read, call `tl`, write whole files."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import anndata
import click
from anndata import AnnData

from sims_tools import tl
from sims_tools._whole_file import whole_file
from sims_tools.models import ClassifierModel, load
from sims_tools.stores._plan import parts_folder
from sims_tools.stores._source import read_column


def run_train(
    *,
    references: Sequence[Path],
    labels_keys: Sequence[str],
    join: str,
    output: Path,
    layer: str | None,
    model_name: str,
    preset: str,
    unlabeled_category: str,
    split_by: str | None,
    validation_size: float,
    n_top_genes: str | None,
    gene_choice: str | None,
    init_from: Path | None,
    max_epochs: int | None,
    accelerator: str,
    checkpoint: Path | None,
    stream: str,
    sampling: str | None,
    seed: int,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Train on files and save the model; after Ctrl-C the model so far is saved and the exit code is 130."""
    _check_free(output, overwrite)
    model = tl.train(
        list(references),
        labels_keys[0] if len(labels_keys) == 1 else list(labels_keys),
        model=model_name,
        join=join,
        layer=layer,
        preset=preset,
        unlabeled_category=unlabeled_category,
        split_by=split_by,
        validation_size=validation_size,
        n_top_genes=_n_top_genes(n_top_genes),
        init_from=init_from,
        **({} if gene_choice is None else {"gene_choice": gene_choice}),
        max_epochs=max_epochs,
        accelerator=accelerator,
        checkpoint=checkpoint,
        stream={"always": True, "never": False}.get(stream, stream),
        **({} if sampling is None else {"sampling": sampling}),
        progress_bar=not quiet,
        random_state=seed,
    )
    model.save(output, overwrite=overwrite)
    if not quiet:
        click.echo(f"{model}, saved in {output}")
        for name, value in model.metrics.items():
            if name.endswith("_validation") and name != "penalty_validation":
                click.echo(f"  {name.removesuffix('_validation').replace('_', ' ')} on validation cells: {value:.3f}")
    if model.was_interrupted_:
        click.echo("Interrupted: the model so far is saved.", err=True)
        raise click.exceptions.Exit(130)


def _check_free(output: Path, overwrite: bool) -> None:
    """Refuse, before the work, an output that could not be written after it."""
    if output.exists() and not overwrite:
        raise FileExistsError(f"`{output}` exists; pass --overwrite to replace it.")


def _n_top_genes(given: str | None) -> int | str | None:
    if given is None:
        return "preset"
    if given == "all":
        return None
    if not given.isdecimal():
        raise click.BadParameter(f"{given!r} is neither a whole number nor 'all'.", param_hint="--n-top-genes")
    return int(given)


def run_annotate(
    *,
    query: Path | str,
    model: Path,
    output: Path | None,
    in_place: bool,
    results: Path | None,
    overwrite: bool,
    quiet: bool,
    key_added: str | None,
    classes: Sequence[str],
    **asked: Any,
) -> None:
    """Annotate a file, a copy of it, or into a file of results."""
    if sum([output is not None, in_place, results is not None]) != 1:
        raise click.UsageError("Say where the annotation goes: one of --output, --in-place and --results.")
    trained = load(model)
    key = trained.name if key_added is None else key_added
    options = {"classes": list(classes) or None, "key_added": key, "progress_bar": not quiet, **asked}
    if in_place:
        tl.annotate(query, trained, **options)
        target = Path(query)
    elif results is not None:
        new = results.with_name(f".new-{results.name}") if overwrite and results.exists() else results
        tl.annotate(query, trained, output=new, **options)
        target = _put_in_place(new, results)
    else:
        target = cast("Path", output)
        _check_free(target, overwrite)
        _annotate_copy(Path(query), trained, target, options)
    if not quiet:
        _report(target, key)


def _annotate_copy(query: Path, model: ClassifierModel, output: Path, options: dict[str, Any]) -> None:
    """Annotate a copy of a file, which is there whole or not at all."""
    if options["resume"]:
        raise click.UsageError("--resume goes with --in-place or --results; an interrupted copy begins anew.")
    if query.suffix.lower() != ".h5ad":
        raise click.UsageError(f"--output copies an .h5ad file; for `{query.name}` use --in-place or --results.")
    if options["reject_by"] == "neighbors":
        whole = {name: value for name, value in options.items() if name not in ("n_jobs", "resume")}
        adata = anndata.read_h5ad(query)
        tl.annotate(adata, model, **whole)
        write_whole(adata, output)
        return
    with whole_file(output) as draft:
        shutil.copyfile(query, draft)
        try:
            tl.annotate(draft, model, **options)
        finally:
            shutil.rmtree(parts_folder(draft), ignore_errors=True)


def _put_in_place(new: Path, path: Path) -> Path:
    """Let a store take the place of another one."""
    if new != path:
        if path.is_dir():
            shutil.rmtree(path)
        new.replace(path)
    return path


def _report(path: Path, key: str) -> None:
    """Say how many cells each label has."""
    labels = read_column(path, key).value_counts()
    click.echo(f"{labels.sum()} cells annotated, saved in {path}")
    for label, count in labels.items():
        if count:
            click.echo(f"  {count:>8}  {label}")


def write_whole(adata: AnnData, path: Path) -> None:
    """Write an h5ad file, whole or not at all."""
    with whole_file(path) as draft:
        adata.write_h5ad(draft, compression="gzip")
