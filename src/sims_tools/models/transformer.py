"""Self-attention over gene and expression-bin tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sims_tools.models._base import ClassifierModel
from sims_tools.models._module import ClassifierModule
from sims_tools.models._preset import Preset
from sims_tools.models._settings import TrainingSettings
from sims_tools.nn import TransformerNetwork

_TRAINING = TrainingSettings(
    max_epochs=7,
    batch_size=32,
    optimizer="Adam",
    learning_rate=1e-4,
    weight_decay=0.0,
    schedule="constant",
    class_weights=1.0,
    gradient_clip=0.0,
    monitor="macro_f1",
    patience=5,
)

_NETWORK = {"width": 128, "n_layers": 4, "n_heads": 4, "n_bins": 14, "dropout": 0.5}


class CellTransformer(ClassifierModel):
    """Transformer over the genes of a cell, tokens of gene and expression bin :cite:p:`mahossam_transformer`.

    ``sims.tl.train(adata, labels_key, model="cell_transformer")`` is the short way to it. Presets: "default" (as
    published), "fast" (only genes that the cell expresses are tokens, and attention weights are not dropped), for
    training on a CPU. Its explanation is the attention that each gene receives, which is not the weight of the gene in
    the decision.

    Parameters
    ----------
    adata
        Object that :meth:`setup_anndata` has registered.
    registry
        What scvi-tools passes instead of an object when it loads a model.
    preset
        "default" or "fast".
    gene_dropout
        Overrule the preset: share of the entries set to zero while training.
    n_members
        Overrule the preset: networks that are trained side by side and averaged.
    random_state
        Seed of the initial weights and of training.
    **network_params
        Overrule the preset's parameters of :class:`~sims_tools.nn.TransformerNetwork`.

    Raises
    ------
    ValueError
        The object has proteins, or genes are to be scaled: bins are those of counts.
    """

    name: ClassVar[str] = "cell_transformer"
    reference: ClassVar[str] = (
        "mahossam, Cell Type Classification using Transformers (notebook); after Cui et al. 2024, scGPT, "
        "Nat Methods 21:1470"
    )
    presets: ClassVar[Mapping[str, Preset]] = {
        "default": Preset(
            source="mahossam, Cell Type Classification using Transformers",
            network=_NETWORK,
            training=_TRAINING,
            gene_choice="highly_variable",
            n_top_genes=1200,
        ),
        "fast": Preset(
            source="sims-tools; docs/models/cell_transformer.md",
            network={**_NETWORK, "attention_dropout": 0.0, "nonzero_only": True},
            training=_TRAINING,
            gene_choice="highly_variable",
            n_top_genes=1200,
        ),
    }
    explanation: ClassVar[str] = "attention received"
    Network = TransformerNetwork

    def _build_module(self) -> ClassifierModule:
        if self.proteins_:
            raise ValueError(
                f"CellTransformer reads genes alone, and the object has {len(self.proteins_)} proteins: leave out "
                '`protein_obsm_key`, or name the genes of a MuData alone, `modalities={"rna": ...}`.'
            )
        for name in ("scale_genes", "center_genes"):
            if self.params_[name]:
                raise ValueError(f"CellTransformer bins the counts of each cell, so `{name}` must be False.")
        return super()._build_module()
