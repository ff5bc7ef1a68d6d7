"""scANVI of scvi-tools."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import scvi
from anndata import AnnData
from scipy import sparse

from sims_tools._log import quiet_libraries
from sims_tools._validate import check_count, check_names
from sims_tools.data._matrix import take_canonical
from sims_tools.models._random import seeded
from sims_tools.models._runner import signals_restored
from sims_tools.models._setup import forget
from sims_tools.studies._cells import LABELS, StudyCells
from sims_tools.studies._method import Fitted, Method, Prediction

_NO_LABEL = "not labelled"
_N_TOP_GENES, _BATCH_SIZE, _TRAINED = 2000, 128, 0.9


class ScanviMethod(Method):
    """SCVI, then SCANVI from it, at the defaults of scvi-tools, on counts of the 2,000 most variable genes.

    It is inductive: networks are trained on the training cells alone, and the test cells go through them as they are.
    scvi-tools can also train on the cells of a query (`load_query_data`, or by adding them unlabelled); a classifier
    that has seen the test cells is another thing than one that has not, so that is not done. No batch is modelled:
    batches of the test cells may be new.

    `options`: `n_top_genes`, `max_epochs` (of SCVI), `scanvi_max_epochs`, `accelerator`.
    """

    name = "scanvi"
    needs_counts = True

    def check_options(self) -> None:
        """See :class:`Method`."""
        known = ("n_top_genes", "max_epochs", "scanvi_max_epochs", "accelerator")
        check_names("parameter of 'scanvi'", self.options, known)
        for name in known[:3]:
            check_count(name, self.options.get(name))

    def fit(self, cells: StudyCells, rows: np.ndarray, seed: int) -> Fitted:
        """See :class:`Method`."""
        genes = cells.most_variable(rows, self.options.get("n_top_genes", _N_TOP_GENES))
        adata = _counts(cells, rows, genes)
        adata.obs[LABELS] = cells.names(rows)
        accelerator = self.options.get("accelerator", "auto")
        run = {"accelerator": accelerator, "enable_progress_bar": False, "batch_size": _batch_size(len(rows))}
        with quiet_libraries(), _scvi_seed(seed), _interrupts():
            scvi.model.SCVI.setup_anndata(adata, labels_key=LABELS)
            pretrained = scvi.model.SCVI(adata)
            pretrained.train(max_epochs=self.options.get("max_epochs"), **run)
            model = scvi.model.SCANVI.from_scvi_model(pretrained, _NO_LABEL, labels_key=LABELS, adata=adata)
            model.train(max_epochs=self.options.get("scanvi_max_epochs"), **run)
        for model_class in (scvi.model.SCVI, scvi.model.SCANVI):
            forget(model_class, adata)
        return _FittedScanvi(model, genes, seed)


class _FittedScanvi(Fitted):
    def __init__(self, model: Any, genes: np.ndarray | None, seed: int) -> None:
        self.model, self.genes, self.seed = model, genes, seed
        labels = model.get_state_registry("labels").categorical_mapping
        self.classes = np.array([str(name) for name in labels if name != _NO_LABEL], dtype=object)
        self.history = {}

    def predict(self, cells: StudyCells, rows: np.ndarray) -> Prediction:
        """See :class:`Fitted`."""
        query = _counts(cells, rows, self.genes)
        query.obs[LABELS] = _NO_LABEL
        with quiet_libraries(), _scvi_seed(self.seed):
            soft = self.model.predict(query, soft=True)
        forget(type(self.model), query)
        prob = soft[list(self.classes)].to_numpy()
        return Prediction(prob, prob.argmax(1))


def _counts(cells: StudyCells, rows: np.ndarray, genes: np.ndarray | None) -> AnnData:
    """An object of its own, as scvi-tools needs it, with the chosen genes of some cells."""
    counts = take_canonical(cells.matrix, rows)
    counts = counts if genes is None else counts[:, genes]
    names = cells.genes if genes is None else cells.genes[genes]
    obs = pd.DataFrame(index=pd.RangeIndex(len(rows)).astype(str))
    return AnnData(sparse.csr_matrix(counts), obs=obs, var=pd.DataFrame(index=names))


def _batch_size(n_cells: int) -> int:
    """The default, or a little less where the last minibatch would have too few cells for batch normalisation."""
    n_trained = int(np.ceil(n_cells * _TRAINED))
    return next((size for size in range(_BATCH_SIZE, 0, -1) if not 0 < n_trained % size < 3), _BATCH_SIZE)


@contextmanager
def _scvi_seed(seed: int) -> Iterator[None]:
    """Seed every global random stream, as scvi-tools does, inside the block; put all of them back after it."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    known = scvi.settings.seed
    with seeded(seed):
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        scvi.settings._seed = seed  # its setter would print, and leave environment variables behind
        try:
            yield
        finally:
            scvi.settings._seed = known
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002


@contextmanager
def _interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C, which Lightning turns into the end of the process."""
    try:
        with signals_restored():
            yield
    except SystemExit:
        raise KeyboardInterrupt("Training was interrupted.") from None
