"""The same answers on a GPU; skipped where there is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import sims_tools as sims

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"),
]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_training_and_annotation_on_a_gpu(cells, small, tmp_path, precision):
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=2, accelerator="gpu", precision=precision, **small)
    assert model.module.device.type == "cuda"
    there = sims.tl.annotate(cells, model, copy=True, progress_bar=False)
    model.save(tmp_path / "model")
    here = sims.tl.annotate(
        cells, sims.models.load(tmp_path / "model", accelerator="cpu"), copy=True, progress_bar=False
    )
    np.testing.assert_allclose(there.obsm["sims_prob"], here.obsm["sims_prob"], atol=1e-3)
    np.testing.assert_allclose(there.obsm["sims_masks"].toarray(), here.obsm["sims_masks"].toarray(), atol=1e-2)
