"""A named recipe: network, transform and training that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sims_tools.models._settings import TrainingSettings


@dataclass(frozen=True)
class Preset:
    """A recipe with its source.

    Attributes
    ----------
    source
        Where it comes from.
    network
        Parameters of the architecture's `Network`.
    training
        Training settings.
    n_top_genes
        Train on so many of the most variable genes (chosen on training cells); None takes all.
    scale_genes
        Divide each gene by its standard deviation over the training cells.
    gene_dropout
        Share of the entries set to zero while training.
    """

    source: str
    network: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    n_top_genes: int | None = None
    scale_genes: bool = False
    gene_dropout: float = 0.0
