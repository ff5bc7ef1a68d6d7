"""Two references that measured different genes and share some classes: does a model learn classes, or references?

`python -m benchmarks.many_references` prints a table; about five minutes on one thread.

Planted cells of six types. Types 0 to 3 are in reference A, types 2 to 5 in B. B lacks half of the genes, markers and
others alike, so that its totals are smaller. Held-out cells of all types are annotated twice: with all genes, and with
those of B only. Each way of joining is trained as it is, and with what every reference lacks left as zeros.
"""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import torch

import sims_tools as sims
from sims_tools.data._joined import JoinedReference

SEEDS = (0, 1, 2)
N_CELLS, N_GENES, N_TRAIN = 2400, 400, 1600


def references(seed: int) -> tuple[ad.AnnData, ad.AnnData, list[ad.AnnData]]:
    """Reference A, reference B, and held-out cells with all genes and with those of B."""
    cells = sims.data.planted_cells(N_CELLS, N_GENES, 6, n_markers=8, fold=5.0, mean_total=1000.0, random_state=seed)
    rng = np.random.default_rng(seed)
    types = cells.obs["cell_type"].cat.codes.to_numpy()
    order = rng.permutation(N_CELLS)
    train, held_out = order[:N_TRAIN], order[N_TRAIN:]
    of_a = np.where((types >= 2) & (types <= 3), rng.random(N_CELLS) < 0.5, types < 2)
    lacking = np.zeros(N_GENES, dtype=bool)
    marks = cells.var["marker_of"].astype(str).to_numpy()
    for name in np.unique(marks):
        genes = np.flatnonzero(marks == name)
        lacking[rng.permutation(genes)[: len(genes) // 2]] = True
    queries = [cells[held_out].copy(), cells[held_out][:, ~lacking].copy()]
    return cells[train[of_a[train]]].copy(), cells[train[~of_a[train]]][:, ~lacking].copy(), queries


def accuracies(seed: int, join: str) -> list[float]:
    """Of both queries."""
    first, second, queries = references(seed)
    model = sims.tl.sims_train(
        {"A": first, "B": second}, "cell_type", join=join, n_members=1, max_epochs=20, progress_bar=False
    )
    found = []
    for query in queries:
        sims.tl.annotate(query, model, masks=False, progress_bar=False)
        found.append(float((query.obs["sims"].astype(str) == query.obs["cell_type"].astype(str)).mean()))
    return found


def main() -> None:
    """Print mean accuracies as a markdown table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)
    shown = JoinedReference.panels
    print("| join | training cells | all genes | genes of B |\n|---|---|---|---|")
    for join in ("inner", "outer"):
        for name, panels in (("as they are", lambda *_: None), ("shown through both panels", shown)):
            JoinedReference.panels = panels
            means = np.mean([accuracies(seed, join) for seed in SEEDS], axis=0)
            print(f"| {join} | {name} | {means[0]:.3f} | {means[1]:.3f} |", flush=True)
    JoinedReference.panels = shown


if __name__ == "__main__":
    main()
