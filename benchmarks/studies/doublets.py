"""Find planted doublets: `python -m benchmarks.studies.doublets --data FOLDER`.

Needs scikit-image for scrublet's threshold. Every doublet that is planted is the sum of two cells of different types.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scvi
from benchmarks.speed.markdown import table as as_markdown
from scipy import sparse
from sklearn.metrics import roc_auc_score

DONOR, SHARE = "101", 0.08


def with_planted(adata: ad.AnnData, seed: int = 0) -> ad.AnnData:
    """The cells and, beside them, sums of two of different types."""
    rng = np.random.default_rng(seed)
    labels = adata.obs["cell_type"].to_numpy().astype(str)
    first, second = rng.choice(adata.n_obs, (round(SHARE * adata.n_obs), 2)).T
    differ = labels[first] != labels[second]
    first, second = first[differ], second[differ]
    doublets = ad.AnnData(sparse.csr_matrix(adata.X[first] + adata.X[second]), var=adata.var[[]])
    doublets.obs_names = [f"doublet {rank}" for rank in range(doublets.n_obs)]
    return ad.concat([adata, doublets], label="planted", keys=["no", "yes"])


def by_scrublet(adata: ad.AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Score and call of each cell."""
    sc.pp.scrublet(adata, random_state=0)
    return adata.obs["doublet_score"].to_numpy(), adata.obs["predicted_doublet"].to_numpy().astype(bool)


def by_solo(adata: ad.AnnData) -> tuple[np.ndarray, np.ndarray]:
    """Score and call of each cell."""
    scvi.settings.seed = 0
    scvi.model.SCVI.setup_anndata(adata)
    vae = scvi.model.SCVI(adata)
    vae.train(100, enable_progress_bar=False)
    solo = scvi.external.SOLO.from_scvi_model(vae)
    solo.train(enable_progress_bar=False)
    prob = solo.predict()["doublet"].to_numpy()
    return prob, (solo.predict(soft=False) == "doublet").to_numpy()


METHODS = {"scrublet": by_scrublet, "SOLO": by_solo}


def main() -> None:
    """Print what both find."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", choices=METHODS, nargs="+", default=list(METHODS))
    arguments = parser.parse_args()
    whole = ad.read_h5ad(arguments.data / "pbmc_kang_ctrl_12k.h5ad")
    adata = with_planted(whole[whole.obs["donor"] == DONOR].copy())
    planted = (adata.obs["planted"] == "yes").to_numpy()
    rows = []
    for name in arguments.only:
        score, called = METHODS[name](adata.copy())
        rows.append([name, f"{roc_auc_score(planted, score):.3f}", f"{called[planted].sum()} of {planted.sum()}",
                     f"{called[~planted].sum()} of {(~planted).sum()}"])  # fmt: skip
    print(as_markdown(["method", "AUROC", "planted that are called", "other cells that are called"], rows))


if __name__ == "__main__":
    main()
