"""The same answers on a GPU; skipped where there is none."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from scipy import sparse

import sims_tools as sims
from sims_tools.data._dataset import CellDataset
from sims_tools.data._kind import InputKind
from sims_tools.data._resident import ResidentCells
from sims_tools.models._inputs import CountTransform
from sims_tools.nn import SparseRows

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


@pytest.mark.parametrize("resides", [True, False])
def test_cells_are_on_the_gpu_at_every_step(cells, small, monkeypatch, resides):
    """The whole matrix stays there where it fits; the weights are the same either way."""
    import sims_tools.data._resident as resident

    if not resides:
        monkeypatch.setattr(resident, "_SHARE", 1 << 40)
    seen = Steps()
    before = torch.cuda.memory_allocated()
    model = sims.tl.sims_train(cells, "cell_type", max_epochs=2, accelerator="gpu", callbacks=[seen], **small)
    assert set(seen.devices) == {"cuda"}
    assert set(seen.resident) == {resides}
    monkeypatch.setattr(resident, "_SHARE", 1 << 40)
    other = sims.tl.sims_train(cells, "cell_type", max_epochs=2, accelerator="gpu", **small)
    for name, value in model.module.state_dict().items():
        torch.testing.assert_close(value, other.module.state_dict()[name], rtol=1e-4, atol=1e-4)
    del model, other, value
    gc.collect()
    assert torch.cuda.memory_allocated() - before < 1 << 20


class Steps(Callback):
    """Where the minibatches are, and whether they are made there."""

    def __init__(self) -> None:
        self.devices: list[str] = []
        self.resident: list[bool] = []

    def on_train_batch_start(self, trainer: Any, plan: Any, batch: dict[str, Any], index: int) -> None:
        rows = batch["X"]
        self.devices += [each.device.type for each in (rows.indptr, rows.indices, rows.values, batch["labels"])]
        self.resident.append(isinstance(trainer.train_dataloader.dataset, ResidentCells))


def test_nobody_waits_for_the_gpu_while_minibatches_are_made(cells):
    matrix = sparse.csr_matrix(cells.X)
    totals, codes = np.asarray(matrix.sum(1)).ravel(), np.zeros(200, dtype=np.int64)
    dataset = CellDataset(matrix, codes, InputKind("counts"), totals, np.arange(200))
    resident = ResidentCells(dataset, torch.device("cuda"))
    rows = [5, 3, 199, 3]
    resident[rows]  # warms up
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = resident[rows]
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = dataset[rows]
    torch.testing.assert_close(batch["X"].to_dense().cpu(), expected["X"].to_dense())
    assert torch.equal(batch["total_counts"].cpu(), expected["total_counts"])


def test_the_transform_on_the_gpu(cells):
    counts = torch.from_numpy(cells.X.toarray())
    totals, rows = counts.sum(1, keepdim=True), SparseRows.from_dense(counts)
    transform = CountTransform(60, scale_genes=True).eval()
    transform.fit(torch.rand(60))
    here = transform(rows, totals).to_dense()
    there = transform.cuda()(rows.to("cuda"), totals.cuda()).to_dense()
    torch.testing.assert_close(there.cpu(), here)
