"""SIMS: a TabNet whose sparse masks over genes explain each cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sims_tools.models._base import ClassifierModel
from sims_tools.models._preset import Preset
from sims_tools.models._settings import TrainingSettings
from sims_tools.nn import TabNet

_THESIS = Preset(
    source="Lehrer 2022, SIMS thesis",
    network={
        "n_d": 8,
        "n_a": 8,
        "n_steps": 3,
        "gamma": 1.3,
        "selector": "sparsemax",
        "n_shared": 2,
        "n_independent": 2,
        "virtual_batch_size": 128,
        "momentum": 0.02,
        "sparsity": 1e-3,
    },
    training=TrainingSettings(
        max_epochs=500,
        batch_size=32,
        optimizer="Adam",
        learning_rate=0.01,
        weight_decay=1e-3,
        schedule="plateau",
        lr_factor=0.75,
        lr_patience=20,
        class_weights=1.0,
        gradient_clip=0.5,
        monitor="accuracy",
        patience=4,
    ),
)

_SCTAB = Preset(
    source="Fischer et al. 2024, Nat Commun (scTab)",
    network={
        "n_d": 128,
        "n_a": 64,
        "n_steps": 1,
        "gamma": 1.3,
        "selector": "entmax15",
        "n_shared": 3,
        "n_independent": 5,
        "virtual_batch_size": 256,
        "momentum": 0.02,
        "sparsity": 1e-5,
    },
    training=TrainingSettings(
        max_epochs=48,
        batch_size=2048,
        optimizer="AdamW",
        learning_rate=0.005,
        weight_decay=0.05,
        schedule="exponential",
        lr_factor=0.9,
        class_weights=1.0,
        gradient_clip=1.0,
        monitor="macro_f1",
        patience=0,
    ),
)

_DEFAULT = Preset(
    source="sims-tools; docs/presets.md",
    network={
        "n_d": 32,
        "n_a": 16,
        "n_steps": 3,
        "gamma": 1.3,
        "selector": "entmax15",
        "n_shared": 2,
        "n_independent": 2,
        "virtual_batch_size": 128,
        "momentum": 0.02,
        "sparsity": 0.0,
        "center": False,
        "attention_scale": 0.02,
        "max_selected": 40,
        "nonzero_only": True,
        "step_weights": "class",
    },
    training=TrainingSettings(
        optimizer="AdamW",
        learning_rate=0.005,
        weight_decay=0.05,
        schedule="one_cycle",
        class_weights=0.5,
        narrowing=0.5,
        gradient_clip=1.0,
        weight_average=0.98,
        patience=0,
        restore_best=False,
    ),
    n_members=None,
    n_top_genes=3000,
    scale_genes=True,
    gene_dropout=0.2,
    network_with_proteins={"max_selected": 16},
)


class SIMS(ClassifierModel):
    """TabNet classifier of cells: sparse attentive masks select the genes of each decision step.

    :func:`~sims_tools.tl.sims_train` is the short way to it. Presets: "default" (ours), "sims" (the thesis), "sctab"
    (the recipe of scTab).

    Parameters
    ----------
    adata
        Object that :meth:`setup_anndata` or :meth:`setup_mudata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model.
    preset
        "default", "sims" or "sctab".
    scale_genes
        Overrule the preset: divide genes by their standard deviation over the training cells.
    gene_dropout
        Overrule the preset: share of the genes' entries set to zero while training.
    n_members
        Overrule the preset: networks that are trained side by side and averaged.
    protein_transform
        What is done with proteins, where there are any: "clr", "log1p" or "none".
    exclude_proteins
        Proteins to leave out: names or patterns such as ``"*IgG*"``.
    modality_dropout
        Overrule the preset: share of the cells of which genes or proteins are hidden while training.
    random_state
        Seed of the initial weights and of training.
    **network_params
        Overrule the preset's parameters of :class:`~sims_tools.nn.TabNet`.
    """

    name: ClassVar[str] = "sims"
    reference: ClassVar[str] = (
        "Lehrer 2022 (SIMS); Arik and Pfister 2021, TabNet: Attentive interpretable tabular learning, AAAI 35:6679"
    )
    presets: ClassVar[Mapping[str, Preset]] = {"default": _DEFAULT, "sims": _THESIS, "sctab": _SCTAB}
    Network = TabNet
