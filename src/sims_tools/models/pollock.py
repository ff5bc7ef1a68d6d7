"""SimplePollock: three wide layers with dropout on z-scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar

from sims_tools.data._cell_filter import CellFilter
from sims_tools.models._base import ClassifierModel
from sims_tools.models._preset import Preset
from sims_tools.models._settings import TrainingSettings
from sims_tools.nn import MLP

_DEFAULT = Preset(
    source="Storrs, Deep learning explainer: a simple single cell classification model; all labelled cells",
    gene_choice="detected",
    center_genes=True,
    training=TrainingSettings(
        max_epochs=10,
        batch_size=64,
        optimizer="Adam",
        learning_rate=1e-4,
        weight_decay=0.0,
        schedule="constant",
        gradient_clip=0.0,
        restore_best=False,
    ),
)

_TUTORIAL = replace(
    _DEFAULT,
    source="Storrs, Deep learning explainer: a simple single cell classification model",
    cell_filter=CellFilter(min_genes=200, max_genes=2500, max_mitochondrial=0.05),
)


class PollockNetwork(MLP):
    """Three hidden layers with ReLU, the first two with dropout, that read z-scores.

    Parameters
    ----------
    n_genes, n_classes
        Width of the input and of the output.
    hidden
        Width of each hidden layer.
    dropout
        Share of the units of the first layers set to zero while training.
    """

    accepts_sparse = False

    def __init__(
        self, n_genes: int, n_classes: int, *, hidden: Sequence[int] = (1028, 256, 128), dropout: float = 0.2
    ) -> None:
        super().__init__(n_genes, n_classes, hidden=hidden, dropout=dropout)


class Pollock(ClassifierModel):
    """SimplePollock, a small version of the classifier Pollock, from a tutorial :cite:p:`storrs2022explainer`.

    A network with hidden layers of 1028, 256 and 128 units on z-scores of genes that were detected in three cells or
    more. Train it with ``sims.tl.train(adata, labels_key, model="pollock")``. The tutorial puts a softmax before the
    cross-entropy, which takes one of its own, so that gradients vanish where a call is clear; here logits go into it.
    It has no masks; :func:`~sims_tools.tl.embed` writes what its output layer reads.

    Parameters
    ----------
    adata
        Object that :meth:`setup_anndata` or :meth:`setup_mudata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model.
    preset
        "default", or "tutorial", with which cells of fewer than 200 or of 2,500 genes and more, and cells of 5 %
        mitochondrial counts and more, do not train.
    **params
        As :class:`~sims_tools.models.ClassifierModel` takes them; of the network, `hidden` (widths of the layers) and
        `dropout`.
    """

    name: ClassVar[str] = "pollock"
    reference: ClassVar[str] = (
        "Storrs, Deep learning explainer: a simple single cell classification model (SimplePollock), "
        "https://storrs.io/sc-deep-learning-explainer"
    )
    presets: ClassVar[Mapping[str, Preset]] = {"default": _DEFAULT, "tutorial": _TUTORIAL}
    Network = PollockNetwork
