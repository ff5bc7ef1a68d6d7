"""What `train` and `annotate` do: read, call `tl`, write whole files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata
import click
from anndata import AnnData

from sims_tools import tl
from sims_tools._whole_file import whole_file
from sims_tools.models import load


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
    query: Path,
    model: Path,
    output: Path,
    layer: str | None,
    key_added: str | None,
    min_confidence: float | None,
    reject: float | None,
    reject_by: str,
    prediction_sets: float | None,
    top_k: int | None,
    classes: Sequence[str],
    groupby: str | None,
    masks: bool,
    batch_size: int,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Annotate a file and write the annotated copy."""
    _check_free(output, overwrite)
    adata = anndata.read_h5ad(query)
    trained = load(model)
    key = trained.name if key_added is None else key_added
    tl.annotate(
        adata,
        trained,
        layer=layer,
        masks=masks,
        top_k=top_k,
        classes=list(classes) or None,
        groupby=groupby,
        min_confidence=min_confidence,
        reject=reject,
        reject_by=reject_by,
        prediction_sets=prediction_sets,
        batch_size=batch_size,
        progress_bar=not quiet,
        key_added=key,
    )
    write_whole(adata, output)
    if not quiet:
        click.echo(f"{adata.n_obs} cells annotated, saved in {output}")
        for label, count in adata.obs[key].value_counts().items():
            if count:
                click.echo(f"  {count:>8}  {label}")


def write_whole(adata: AnnData, path: Path) -> None:
    """Write an h5ad file, whole or not at all."""
    with whole_file(path) as draft:
        adata.write_h5ad(draft, compression="gzip")
