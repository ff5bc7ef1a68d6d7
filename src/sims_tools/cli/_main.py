"""Commands and their options; what they do is in `_commands` and `_demo`, imported when a command runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from sims_tools import __version__
from sims_tools.cli._errors import OneLineErrors

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_STORE = click.Path(exists=True, path_type=Path)
_PATH = click.Path(path_type=Path)


class _StoreOrURL(click.Path):
    """A file or folder that is there, or a URL, which is left as it is."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """See :class:`click.ParamType`."""
        return value if "://" in str(value) else super().convert(value, param, ctx)


_QUERY = _StoreOrURL(exists=True, path_type=Path)

_overwrite = click.option("--overwrite", is_flag=True, help="Replace the output if it is there.")
_quiet = click.option("--quiet", is_flag=True, help="No progress bar and no report.")
_layer = click.option("--layer", metavar="NAME", help="Layer that holds the counts.  [default: X]")
_seed = click.option("--seed", default=0, show_default=True, help="Seed; the same seed gives the same result on CPU.")


@click.group(cls=OneLineErrors, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sims-tools")
def main() -> None:
    """Label single cells, say how sure the labels are, and which genes decided."""


@main.command()
@click.option(
    "-o", "--output", default=Path("sims_demo"), show_default=True, type=_PATH, help="Folder for the results."
)
@_seed
@_quiet
def demo(**options: Any) -> None:
    """Train and annotate on 700 blood cells that scanpy ships, beside a logistic regression."""
    from sims_tools.cli._demo import run_demo

    run_demo(**options)


@main.command()
@click.argument("references", type=_STORE, nargs=-1, required=True, metavar="REF...")
@click.option(
    "--labels-key",
    "labels_keys",
    required=True,
    multiple=True,
    metavar="COLUMN",
    help="Column of .obs with the labels; repeat it where it differs between files.",
)
@click.option(
    "--join", default="inner", show_default=True, help="Genes of several files: inner (what all have) or outer."
)
@click.option("-o", "--output", required=True, type=_PATH, metavar="MODEL", help="Folder for the model.")
@_layer
@click.option(
    "--model", "model_name", default="sims", show_default=True, help="Architecture: sims, actinn, pollock, ..."
)
@click.option(
    "--preset", default="default", show_default=True, help="Recipe of the architecture; of sims also sims, sctab."
)
@click.option("--unlabeled-category", default="Unknown", show_default=True, help="Label that means no label.")
@click.option("--split-by", metavar="COLUMN", help="Hold out whole groups (donors, batches) for validation.")
@click.option("--validation-size", default=0.1, show_default=True, help="Share of each class held out.")
@click.option(
    "--n-top-genes", metavar="N|all", help="Genes to train on, by variance and class.  [default: the preset's]"
)
@click.option("--gene-choice", metavar="WAY", help="How genes are chosen, in place of the preset's way.")
@click.option("--init-from", type=_STORE, metavar="MODEL", help="Start from a saved model, pretrained or a classifier.")
@click.option("--max-epochs", type=int, help="Passes over the training cells.  [default: the preset's]")
@click.option("--accelerator", default="auto", show_default=True, help="Hardware: auto, cpu, gpu.")
@click.option(
    "--checkpoint",
    type=_PATH,
    metavar="FOLDER",
    help="Keep the state after each epoch there; the same command goes on from it, to the same model.",
)
@click.option(
    "--stream", type=click.Choice(["auto", "always", "never"]), default="auto", show_default=True,
    help="Read cells from the files in every epoch; auto: where their matrix takes more than half of the free memory.",
)  # fmt: skip
@click.option("--sampling", type=click.Choice(["uniform", "balanced"]), help="balanced: every class equally often.")
@_seed
@_overwrite
@_quiet
def train(**options: Any) -> None:
    """Train on the labelled cells of one file or of several, and save the model.

    REF is a file with labels in it: .h5ad, .zarr or .loom. Those of the first two kinds may be larger than memory.
    """
    from sims_tools.cli._commands import run_train

    run_train(**options)


@main.command()
@click.argument("query", type=_QUERY, metavar="QUERY")
@click.option("--model", required=True, type=_PATH, metavar="MODEL", help="Folder of a saved model.")
@click.option("-o", "--output", type=_PATH, metavar="OUT.h5ad", help="Annotated copy of QUERY.h5ad to write.")
@click.option("--in-place", is_flag=True, help="Append the annotation to QUERY, in place of an output.")
@click.option("--results", type=_PATH, metavar="OUT", help="Store (.h5ad, .zarr) for the annotation alone.")
@click.option("--resume", is_flag=True, help="Go on where the same command was interrupted (--in-place, --results).")
@click.option("--jobs", "n_jobs", type=int, help="Processes side by side; -1 for one on each core or GPU.")
@click.option("--part-size", default=65_536, show_default=True, help="Cells that are done and kept at a time.")
@_layer
@click.option("--key-added", metavar="NAME", help="Name for what is written.  [default: the architecture's]")
@click.option("--min-confidence", type=float, help='Smallest probability that is called; below it, "Unknown".')
@click.option("--reject", type=float, help='Share of known cells that may be lost to call cells unlike them "Unknown".')
@click.option(
    "--reject-by", type=click.Choice(["cell", "neighbors"]), default="cell", show_default=True,
    help="Judge each cell by itself, or with the cells of the query that are most like it.",
)  # fmt: skip
@click.option("--prediction-sets", type=float, help="Share of cells whose set may miss the true class.")
@click.option("--top-k", type=int, help="Write the runners-up, too, down to this rank.")
@click.option("--class", "classes", multiple=True, metavar="NAME", help="Consider this class only (repeat for more).")
@click.option("--groupby", metavar="COLUMN", help="Add a majority vote within these groups.")
@click.option(
    "--masks", type=click.Choice(["full", "top", "mean", "none"]), default="full", show_default=True,
    help="Feature masks to write: all, the heaviest features of each cell, the mean of each class, none.",
)  # fmt: skip
@click.option("--no-masks", "masks", flag_value="none", help="The same as --masks none.")
@click.option("--n-mask-features", default=10, show_default=True, help="Features of each cell with --masks top.")
@click.option("--probabilities/--no-probabilities", default=True, show_default=True, help="Write those of all classes.")
@click.option("--batch-size", default=512, show_default=True, help="Cells at a time.")
@_overwrite
@_quiet
def annotate(**options: Any) -> None:
    """Label the cells of QUERY, an .h5ad or .zarr store that may be larger than memory.

    With --results it may also be the URL of a .zarr store, or a file of another kind, which is read whole.

    The annotation goes into a copy (--output), into QUERY itself (--in-place), or into a store of its own (--results).
    """
    from sims_tools.cli._commands import run_annotate

    run_annotate(**options)
