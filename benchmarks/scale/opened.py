"""What looking at an annotated store takes, opened lazily and backed: seconds, and memory above that before.

    python -m benchmarks.scale.opened --cells 1000000 --folder FOLDER

The masks are planted: 60 features of 2,000 for each cell, 30 classes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

N_FEATURES, N_CLASSES, N_HELD = 2000, 30, 60

LOOKS = ("nothing", "mask_df", "rank_mask_genes", "evaluate", "heatmap")


def plant(path: Path, n_cells: int) -> None:
    """Write a store that looks annotated; its matrix is empty."""
    rng = np.random.default_rng(0)
    called, true = rng.integers(0, N_CLASSES, (2, n_cells))
    prob = np.full((n_cells, N_CLASSES), 0.5 / N_CLASSES, np.float32)
    prob[np.arange(n_cells), called] += 0.5
    some = np.argsort(rng.random((1000, N_FEATURES)), axis=1)[:, :N_HELD]
    held = np.sort(some, axis=1)[rng.integers(0, 1000, n_cells)].ravel().astype(np.int32)
    weights = np.full(len(held), 1 / N_HELD, np.float32)
    masks = sparse.csr_matrix((weights, held, np.arange(0, len(held) + 1, N_HELD)), shape=(n_cells, N_FEATURES))
    classes, genes = [f"class {i}" for i in range(N_CLASSES)], np.array([f"gene {i}" for i in range(N_FEATURES)])
    labels = {name: pd.Categorical.from_codes(codes, classes) for name, codes in (("sims", called), ("true", true))}
    cells = ad.AnnData(
        sparse.csr_matrix((n_cells, N_FEATURES), dtype=np.float32),
        obs=pd.DataFrame(labels, index=[f"cell {i}" for i in range(n_cells)]),
        var=pd.DataFrame(index=genes),
        obsm={"sims_prob": prob, "sims_masks": masks},
    )
    cells.uns["sims"] = {"classes": np.array(classes), "features": genes, "feature_var_names": genes, "params": {}}
    cells.write_h5ad(path)


def look(path: Path, way: str, name: str) -> None:
    """Open a store and look at it, in this process."""
    import matplotlib as mpl

    import sims_tools as sims

    mpl.use("Agg")
    works = {
        "nothing": lambda adata: None,
        "mask_df": lambda adata: sims.get.mask_df(adata, group="class 3"),
        "rank_mask_genes": sims.tl.rank_mask_genes,
        "evaluate": lambda adata: sims.tl.evaluate(adata, "true"),
        "heatmap": lambda adata: sims.pl.feature_masks(adata, kind="heatmap", show=False),
    }
    [getattr(sims, room) for room in ("tl", "get", "pl")]  # their imports are not measured
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    works[name](ad.read_h5ad(path, backed="r") if way == "backed" else ad.experimental.read_lazy(path))
    seconds = time.perf_counter() - began
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    print(f"| {name} | {way} | {seconds:.1f} | {peak / 1e9:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--look", nargs=2, metavar=("WAY", "NAME"))
    chosen = parser.parse_args()
    path = chosen.folder / f"looked-at-{chosen.cells}.h5ad"
    if chosen.look:
        look(path, *chosen.look) if chosen.look[0] != "plant" else plant(path, chosen.cells)
        return
    if not path.exists():  # in a process of its own: the peak of a process is passed on to those that it begins
        job(chosen, "plant", "")
    print(f"{path.stat().st_size / 1e9:.2f} GB", flush=True)
    for way in ("lazy", "backed"):
        for name in LOOKS:
            job(chosen, way, name)


def job(chosen: argparse.Namespace, way: str, name: str) -> None:
    same = ["--cells", str(chosen.cells), "--folder", str(chosen.folder)]
    subprocess.run([sys.executable, "-m", "benchmarks.scale.opened", *same, "--look", way, name], check=True)


if __name__ == "__main__":
    main()
