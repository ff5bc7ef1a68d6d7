"""Make `sims_v1`: a small saved model of format version 1, and what it says of a few cells.

Every later version of the package must read the folder and give these answers, so it is made once and then left alone:

    python tests/models/data/make_sims_v1.py

Only while version 1 has not been released may it be made again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from anndata import AnnData

import sims_tools as sims

HERE = Path(__file__).parent / "sims_v1"


def main() -> None:
    torch.set_num_threads(1)
    cells = sims.data.planted_cells(n_cells=150, n_genes=30, n_classes=3, n_markers=3)
    cells.obs["cell_type"] = cells.obs["cell_type"].cat.rename_categories(["L2/3 IT", "naïve T", "B cell"])
    reference, others = cells[:138].copy(), cells[138:].copy()
    model = sims.tl.sims_train(
        reference, "cell_type", max_epochs=20, n_d=4, n_a=4, n_steps=2, n_shared=1, n_independent=1,
        sparsity=0.0, batch_size=16, learning_rate=0.03, weight_average=0.5, random_state=1, accelerator="cpu",
        progress_bar=False,
    )  # fmt: skip
    query = _reordered(others)
    sims.tl.annotate(query, model, embedding=True, progress_bar=False)
    shutil.rmtree(HERE, ignore_errors=True)
    model.save(HERE / "model")
    expected = {
        "genes": list(query.var_names),
        "counts": query.X.astype(int).tolist(),
        "classes": list(model.classes),
        "labels": list(query.obs["sims"].astype(str)),
        "probabilities": query.obsm["sims_prob"].tolist(),
        "masks": query.obsm["sims_masks"].toarray().tolist(),
        "embedding": query.obsm["X_sims"].tolist(),
        "gene_weights": model.gene_weights.tolist(),
    }
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in expected.items()]
    (HERE / "expected.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _reordered(cells: AnnData) -> AnnData:
    """Genes in another order, the last one missing, one foreign; one cell without counts."""
    order = np.random.default_rng(0).permutation(cells.n_vars - 1)
    counts = np.column_stack([cells.X.toarray()[:, order], np.arange(cells.n_obs)])
    counts[-1] = 0
    return AnnData(counts.astype(np.float32), var=pd.DataFrame(index=[*cells.var_names[order], "foreign"]))


if __name__ == "__main__":
    main()
