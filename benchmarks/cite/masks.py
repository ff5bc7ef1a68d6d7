"""Which modality masks choose, and what cells with one modality are called, on planted CITE-seq cells.

    python -m benchmarks.cite.masks --seeds 0 1 2 3 4

trains on planted cells whose classes are told apart by RNA, by protein or by both, and prints for each kind of class
how often fresh cells are called right, what share of their masks lies on genes, and what share on planted markers;
and then the same cells with one modality taken away. Nothing is read from a file.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator

import mudata
import numpy as np
import pandas as pd

import sims_tools as sims

KINDS = ("rna", "protein", "both")
MODALITIES = {"rna": "rna", "protein": "prot"}


def planted(args: argparse.Namespace, seed: int) -> tuple[mudata.MuData, mudata.MuData]:
    """Reference and query: cells of the same classes, drawn together."""
    cells = sims.data.planted_cite(
        args.cells + args.queries, args.genes, args.proteins, mean_total=args.total, fold=args.fold,
        protein_fold=args.protein_fold, random_state=seed,
    )  # fmt: skip
    return cells[: args.cells].copy(), cells[args.cells :].copy()


def marker_share(query: mudata.MuData) -> np.ndarray:
    """(n_obs,) share of each cell's mask on the markers of its true class."""
    true, share = query.obs["cell_type"].astype(str).to_numpy(), np.zeros(query.n_obs)
    for name in MODALITIES.values():
        own = query.mod[name]
        marks = own.var["marker_of"].astype(str).reindex(own.uns["sims"]["features"]).to_numpy()
        masks = own.obsm["sims_masks"].tocoo()
        share += np.bincount(masks.row, masks.data * (marks[masks.col] == true[masks.row]), query.n_obs)
    return share


def rows(args: argparse.Namespace, seed: int) -> Iterator[dict[str, object]]:
    """One row per kind of class, and per modality seen."""
    reference, query = planted(args, seed)
    options = {} if args.max_selected is None else {"max_selected": args.max_selected}
    if args.modality_dropout is not None:
        options["modality_dropout"] = args.modality_dropout
    model = sims.tl.sims_train(reference, "cell_type", random_state=seed, progress_bar=False, **options)
    kind = query.obs["cell_type"].astype(str).str.split("_").str[0].to_numpy()
    for seen, kept in (("both", ["rna", "prot"]), ("rna", ["rna"]), ("protein", ["prot"])):
        cells = mudata.MuData({name: query.mod[name].copy() for name in kept})
        cells.obs["cell_type"] = query.obs["cell_type"]
        sims.tl.annotate(cells, model, progress_bar=False)
        right = (cells.obs["sims"].astype(str) == cells.obs["cell_type"].astype(str)).to_numpy()
        marked = marker_share(cells) if seen == "both" else np.full(len(right), np.nan)
        for each in KINDS:
            own = kind == each
            yield {
                "seed": seed,
                "seen": seen,
                "classes told by": each,
                "accuracy": right[own].mean(),
                "confidence": cells.obs["sims_confidence"].to_numpy()[own].mean(),
                "masks on RNA": cells.obs["sims_rna_share"].to_numpy()[own].mean(),
                "masks on markers": marked[own].mean(),
            }


def main() -> None:
    """Print the means over seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=600, help="cells to train on")
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--proteins", type=int, default=10)
    parser.add_argument("--total", type=float, default=2000, help="counts of genes per cell")
    parser.add_argument("--fold", type=float, default=8)
    parser.add_argument("--protein-fold", type=float, default=10)
    parser.add_argument("--max-selected", type=int)
    parser.add_argument("--modality-dropout", type=float)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    args = parser.parse_args()
    logging.getLogger("sims_tools").setLevel(logging.ERROR)
    table = pd.DataFrame([row for seed in args.seeds for row in rows(args, seed)])
    means = table.groupby(["seen", "classes told by"], sort=False).mean().drop(columns="seed")
    print(means.round(2).to_string())


if __name__ == "__main__":
    main()
