"""ACTINN: a small network on logarithms to base 2."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from sims_tools.models._base import ClassifierModel
from sims_tools.models._preset import Preset
from sims_tools.models._settings import TrainingSettings
from sims_tools.nn import MLP, NetworkOutput, SparseRows

_PAPER = Preset(
    source="Ma and Pellegrini 2020, Bioinformatics 36:533",
    gene_choice="expression_percentiles",
    training=TrainingSettings(
        max_epochs=50,
        batch_size=128,
        optimizer="Adam",
        learning_rate=1e-4,
        weight_decay=0.005,
        schedule="steps",
        lr_factor=0.95,
        lr_steps=1000,
        gradient_clip=0.0,
        restore_best=False,
    ),
)


class ACTINNNetwork(MLP):
    """Three hidden layers with ReLU that read log2(1 + CP10K); weights as Xavier draws them.

    Parameters
    ----------
    n_genes, n_classes
        Width of the input and of the output.
    hidden
        Width of each hidden layer.
    """

    def __init__(self, n_genes: int, n_classes: int, *, hidden: Sequence[int] = (100, 50, 25)) -> None:
        super().__init__(n_genes, n_classes, hidden=hidden, xavier=True)

    def forward(self, x: Tensor | SparseRows, *, explain: bool = False) -> NetworkOutput:
        """Classify cells by log1p CP10K (B, p), of which the logarithm to base 2 is taken here."""
        per_bit = 1 / math.log(2)
        log2 = x.with_values(x.values * per_bit) if isinstance(x, SparseRows) else x * per_bit
        return super().forward(log2, explain=explain)


class ACTINN(ClassifierModel):
    """Automated Cell Type Identification using Neural Networks :cite:p:`ma2020actinn`.

    A network with hidden layers of 100, 50 and 25 units on log2(1 + CP10K) of all genes but outlying ones. Train it
    with ``sims.tl.train(adata, labels_key, model="actinn")``. It has no masks.

    Parameters
    ----------
    adata
        Object that :meth:`setup_anndata` or :meth:`setup_mudata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model.
    preset
        "default" (the paper).
    **params
        As :class:`~sims_tools.models.ClassifierModel` takes them; of the network, `hidden` (widths of the layers).
    """

    name: ClassVar[str] = "actinn"
    reference: ClassVar[str] = (
        "Ma and Pellegrini 2020, ACTINN: automated identification of cell types in single cell RNA sequencing, "
        "Bioinformatics 36:533"
    )
    presets: ClassVar[Mapping[str, Preset]] = {"default": _PAPER}
    Network = ACTINNNetwork
