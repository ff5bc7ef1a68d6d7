"""A named recipe: network, transform and training that belong together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sims_tools.data._cell_filter import CellFilter
from sims_tools.data._gene_choice import GeneChoice
from sims_tools.models._settings import TrainingSettings

_MOST_MEMBERS, _CELLS_OF_MEMBERS = 8, 40_000


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
    n_members
        Networks that are trained side by side and averaged. None fits them to the number of labelled cells: 8 up to
        5,000, then as many as make 40,000 cells together, at least 1. Where cells are few, networks differ, and are
        quickly trained.
    gene_choice
        How genes to train on are chosen, on training cells: "variance_and_class" (half those that vary most, half
        those highest in each class beside the others) or "highly_variable" (as scanpy's Seurat flavour), of which the
        first `n_top_genes` are taken; "expression_percentiles" (none outlying in expression or in its coefficient of
        variation, as ACTINN does), "detected" (in three cells or more) or "all".
    n_top_genes
        Train on so many genes, where `gene_choice` ranks them; None takes all.
    scale_genes
        Divide each gene by its standard deviation over the training cells.
    center_genes
        z-scores: scale genes so and subtract their mean over the training cells. What the network reads is dense then.
    cell_filter
        Which labelled cells take part in training.
    gene_dropout
        Share of the entries set to zero while training.
    modality_dropout
        Share of the cells of which genes or proteins are hidden while training, where there are both.
    network_with_proteins
        Parameters of the `Network` that are others where it reads proteins beside genes.
    """

    source: str
    network: Mapping[str, Any] = field(default_factory=dict)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    n_members: int | None = 1
    gene_choice: str = "variance_and_class"
    n_top_genes: int | None = None
    scale_genes: bool = False
    center_genes: bool = False
    cell_filter: CellFilter = field(default_factory=CellFilter)
    gene_dropout: float = 0.0
    modality_dropout: float = 0.2
    network_with_proteins: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        GeneChoice(self.gene_choice, self.n_top_genes)

    def members_for(self, n_cells: int) -> int:
        """Number of networks for so many labelled cells."""
        if self.n_members is not None:
            return self.n_members
        return min(_MOST_MEMBERS, max(1, _CELLS_OF_MEMBERS // max(n_cells, 1)))
