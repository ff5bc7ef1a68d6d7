"""sims-tools."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from anndata import AnnData
from benchmarks.accuracy.cells import Cells

import sims_tools as sims

from .base import Method

KEY, LABELS = "sims", "labels"


class Ours(Method):
    """`sims_tools.tl.sims_train` with its default preset, and `tl.annotate` with masks."""

    options: ClassVar[dict[str, Any]] = {}
    """Passed to `sims_train`, by which recipes are told apart."""

    @classmethod
    def warm_up(cls) -> None:
        """Compile the kernels."""
        cells = sims.data.planted_cells()
        cells.obs[LABELS] = cells.obs["cell_type"].astype(str)
        model = _train(cells, 0, {**cls.options, "max_epochs": 1})
        sims.tl.annotate(cells, model, progress_bar=False)

    def fit(self, cells: Cells, labels: np.ndarray) -> np.ndarray:
        adata = cells.adata()
        adata.obs[LABELS] = labels
        self.model = _train(adata, self.seed, self.options)
        return np.asarray(self.model.classes).astype(str)

    def predict_proba(self, cells: Cells) -> np.ndarray:
        adata = cells.adata()
        sims.tl.annotate(adata, self.model, progress_bar=False, key_added=KEY)
        masks = adata.obsm[f"{KEY}_masks"]
        self.genes_in_mask = float((masks.data > 0).sum() / masks.shape[0])
        return adata.obsm[f"{KEY}_prob"]

    def notes(self) -> dict[str, Any]:
        return {"genes_in_mask": self.genes_in_mask, "genes_used": len(self.model.genes)}


def _train(adata: AnnData, seed: int, options: dict[str, Any]) -> Any:
    usual = {"accelerator": "cpu", "progress_bar": False, "random_state": seed}
    return sims.tl.sims_train(adata, LABELS, **{**usual, **options})
