"""scsims' own training, where it is installed: shows that our loop of it (`scsims_loop.py`) does it justice."""

from __future__ import annotations

import contextlib
import io
import tempfile
import time

import lightning.pytorch as pl
from anndata import AnnData

from .scsims_loop import TRAIN_BATCH

SIZES = {8: "tall", 64: "venti"}
QUIET = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "num_sanity_val_steps": 0}


def installed_version() -> str | None:
    """Version of scsims, if it is here and has the interface of v4."""
    try:
        import scsims
    except ImportError:
        return None
    version = getattr(scsims, "__version__", "3")
    return version if int(version.split(".")[0]) >= 4 else None


class Times(pl.Callback):
    """When the epoch started and when the last minibatch was done."""

    def on_train_epoch_start(self, *_) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, *_) -> None:
        self.stop = time.perf_counter()


def train_installed(adata: AnnData, *, width: int, n_batches: int) -> float:
    """Seconds per cell over the first minibatches of its training with Lightning.

    `adata` holds log1p values, which is what scsims asks for.
    """
    from scsims import SIMS

    times = Times()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        sims = SIMS(data=adata.copy(), class_label="cell_type")
        sims.setup_model(model_size=SIZES[width])
        limits = {"max_epochs": 1, "limit_train_batches": n_batches, "limit_val_batches": 0}
        sims.setup_trainer(checkpoint_dir=folder, callbacks=[times], accelerator="cpu", **QUIET, **limits)
        sims.train()
    return (times.stop - times.start) / (n_batches * TRAIN_BATCH)
