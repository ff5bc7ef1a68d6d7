"""Run them: `python -m benchmarks.studies.run --checkpoint FOLDER [--data FOLDER] [--figures docs/figures]`.

Tables are printed as markdown. A study that was interrupted goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata as ad
import matplotlib as mpl
import pandas as pd
import scanpy as sc
from benchmarks.speed.markdown import table as as_markdown
from matplotlib.figure import Figure

import sims_tools as sims

KEY = "study"
BASELINES = ("logistic_regression", "random_forest", "linear_svm", "knn")
FRACTIONS = (0.05, 0.1, 0.25, 0.5, 1.0)
DRAWN = ("accuracy", "macro_f1", "median_f1", "ece")
SCORES = ["accuracy", "balanced_accuracy", "macro_f1", "median_f1", "ece", "train_seconds"]


def pbmc68k() -> ad.AnnData:
    """700 cells that ship with scanpy, log-normalised, 765 genes."""
    return sc.datasets.pbmc68k_reduced().raw.to_adata()


def ifnb(folder: Path) -> ad.AnnData:
    """2,800 cells of two conditions: Kang et al. 2018, 13 types."""
    return ad.read_h5ad(folder / "pbmc_ifnb_ctrl_stim.h5ad")


def kang(folder: Path) -> ad.AnnData:
    """12,261 cells of eight donors: Kang et al. 2018, control alone, 8 types."""
    return ad.read_h5ad(folder / "pbmc_kang_ctrl_12k.h5ad")


def folds_of_pbmc68k(adata: ad.AnnData, how: dict[str, Any]) -> Figure:
    sims.tl.cross_validate(adata, "bulk_labels", **how)
    return sims.pl.cross_validation(adata, study=KEY, return_fig=True)


def curve_of_pbmc68k(adata: ad.AnnData, how: dict[str, Any]) -> Figure:
    sims.tl.learning_curve(adata, "bulk_labels", fractions=FRACTIONS, n_repeats=2, **how)
    return sims.pl.learning_curve(adata, study=KEY, return_fig=True)


def benchmark_of_pbmc68k(adata: ad.AnnData, how: dict[str, Any]) -> Figure:
    sims.tl.benchmark(adata, "bulk_labels", ["sims", *BASELINES], **how)
    return sims.pl.benchmark(adata, study=KEY, metrics=DRAWN, return_fig=True)


def conditions_of_ifnb(adata: ad.AnnData, how: dict[str, Any]) -> Figure:
    sims.tl.benchmark(adata, "cell_type", ["sims", *BASELINES, "scanvi"], groupby="batch", **how)
    return sims.pl.benchmark(adata, study=KEY, metrics=DRAWN, return_fig=True)


def donors_of_kang(adata: ad.AnnData, how: dict[str, Any]) -> Figure:
    first = adata.obs["donor"].astype(str).value_counts().index[0]
    sims.tl.cross_validate(adata, "cell_type", groupby="donor", train_groups=[first], **how)
    return sims.pl.cross_validation(adata, study=KEY, return_fig=True)


def curve_of_kang(adata: ad.AnnData, how: dict[str, Any]) -> Figure:
    sims.tl.learning_curve(adata, "cell_type", fractions=(0.03, 0.1, 0.3, 1.0), n_repeats=1, **how)
    return sims.pl.learning_curve(adata, study=KEY, return_fig=True)


Study = Callable[[ad.AnnData, dict[str, Any]], Figure]

OF_SCANPY: dict[str, Study] = {
    "pbmc68k_folds": folds_of_pbmc68k,
    "pbmc68k_benchmark": benchmark_of_pbmc68k,
    "pbmc68k_curve": curve_of_pbmc68k,
}
OF_SETS: dict[str, tuple[Callable[[Path], ad.AnnData], Study]] = {
    "ifnb_conditions": (ifnb, conditions_of_ifnb),
    "kang_donors": (kang, donors_of_kang),
    "kang_curve": (kang, curve_of_kang),
}


SHARED = {"pbmc68k_benchmark": "pbmc68k_folds"}
"""Studies whose folds and cells are those of another, so that runs of the same method are done once."""


def summary(adata: ad.AnnData) -> pd.DataFrame:
    """Means over folds or repeats, for each method, group or fraction; seconds as medians."""
    table = sims.get.study_df(adata, KEY)
    by = ["model"]
    by += ["fraction"] if table["fraction"].nunique() > 1 else []
    by += ["group"] if table["group"].nunique() > 1 else []
    means = table.groupby(by, sort=False)[["n_train", "n_test", "n_novel", *SCORES]].mean()
    means["train_seconds"] = table.groupby(by, sort=False)["train_seconds"].median()
    sizes = ["n_train", "n_test", "n_novel"]
    means[sizes] = means[sizes].round().astype(int)
    return means.reset_index()


def print_summary(name: str, found: pd.DataFrame) -> None:
    rows = [
        [f"{each:.3f}" if isinstance(each, float) else str(each) for each in row]
        for row in found.itertuples(index=False)
    ]
    print(f"\n{name}\n\n{as_markdown(list(found.columns), rows)}", flush=True)


def save(figure: Figure, path: Path) -> None:
    figure.savefig(path.with_suffix(".svg"), facecolor="white", metadata={"Date": None})
    figure.savefig(path.with_suffix(".png"), facecolor="white", dpi=150, metadata={"Software": None})


def main() -> None:
    """Run the studies that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of the benchmark sets; without it, only what scanpy brings")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder for finished runs")
    parser.add_argument("--figures", type=Path, help="for example docs/figures")
    parser.add_argument("--only", nargs="+", choices=[*OF_SCANPY, *OF_SETS], help="these studies alone, in this order")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; seconds are comparable with one alone")
    arguments = parser.parse_args()
    mpl.rcParams |= {"svg.fonttype": "path", "svg.hashsalt": "sims-tools", "font.family": "DejaVu Sans"}
    studies = [(name, pbmc68k, study) for name, study in OF_SCANPY.items()]
    if arguments.data is not None:
        studies += [(name, lambda read=read: read(arguments.data), study) for name, (read, study) in OF_SETS.items()]
    if arguments.only:
        studies = sorted(
            (each for each in studies if each[0] in arguments.only), key=lambda each: arguments.only.index(each[0])
        )
    for name, read, study in studies:
        adata, checkpoint = read(), arguments.checkpoint / SHARED.get(name, name)
        figure = study(adata, {"key_added": KEY, "checkpoint": checkpoint, "n_jobs": arguments.jobs})
        print_summary(name, summary(adata))
        if arguments.figures is not None:
            save(figure, arguments.figures / f"studies_{name}")


if __name__ == "__main__":
    main()
