"""The published autoencoder of RNA and surface protein: two encoders, one latent space, one decoder."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn


class CITEOutput(NamedTuple):
    """Result of one forward pass over B cells with p genes and q proteins.

    Attributes
    ----------
    latent
        (B, n_latent).
    reconstruction
        (B, p + q), genes first.
    logits
        (B, n_classes) of the classifier head; None without one.
    """

    latent: Tensor
    reconstruction: Tensor
    logits: Tensor | None


class CITENetwork(nn.Module):
    """Autoencoder of cells measured by CITE-seq, as in Yuan Tian's tutorial :cite:p:`tian_citeseq`.

    Genes go through two layers, p to p // 2 to `n_hidden_rna`; proteins through one, q to `n_hidden_protein`; both
    results side by side through one more to `n_latent`. The decoder leads from there over `n_hidden_rna +
    n_hidden_protein` and (p + q) // 2 to p + q. A layer is a linear map without bias, LeakyReLU (slope 0.01) and batch
    norm, in this order; the first layer of either encoder ends with dropout. The last layer of the decoder is a linear
    map with bias alone.

    Parameters
    ----------
    n_genes, n_proteins
        Numbers p and q of features.
    n_hidden_rna, n_hidden_protein
        Width of what either encoder makes.
    n_latent
        Width of the latent space.
    dropout
        Share of the values set to zero after the first layer of either encoder, while training.
    n_classes
        Outputs of a linear classifier that reads the latent space; 0 has none.

    Raises
    ------
    ValueError
        A width is below 1, or `dropout` is not in [0, 1).
    """

    def __init__(
        self,
        n_genes: int,
        n_proteins: int,
        *,
        n_hidden_rna: int = 30,
        n_hidden_protein: int = 18,
        n_latent: int = 24,
        dropout: float = 0.1,
        n_classes: int = 0,
    ) -> None:
        super().__init__()
        widths = {"n_genes": n_genes, "n_proteins": n_proteins, "n_hidden_rna": n_hidden_rna}
        for name, width in (widths | {"n_hidden_protein": n_hidden_protein, "n_latent": n_latent}).items():
            if width < 1:
                raise ValueError(f"`{name}={width}` must be at least 1.")
        if not 0 <= dropout < 1:
            raise ValueError(f"`dropout={dropout}` must be at least 0 and below 1.")
        self.n_genes, self.n_proteins = n_genes, n_proteins
        n_hidden, n_features = n_hidden_rna + n_hidden_protein, n_genes + n_proteins
        n_first = max(n_genes // 2, 1)
        self.encoder_rna = nn.Sequential(_layer(n_genes, n_first, dropout), _layer(n_first, n_hidden_rna))
        self.encoder_protein = _layer(n_proteins, n_hidden_protein, dropout)
        self.encoder = _layer(n_hidden, n_latent)
        self.decoder = nn.Sequential(
            _layer(n_latent, n_hidden), _layer(n_hidden, n_features // 2), nn.Linear(n_features // 2, n_features)
        )
        self.head = nn.Linear(n_latent, n_classes) if n_classes else None

    def encode(self, rna: Tensor, protein: Tensor) -> Tensor:
        """(B, p) genes and (B, q) proteins to the latent space (B, n_latent)."""
        return self.encoder(torch.cat([self.encoder_rna(rna), self.encoder_protein(protein)], dim=1))

    def forward(self, rna: Tensor, protein: Tensor) -> CITEOutput:
        """Encode and decode cells.

        Parameters
        ----------
        rna
            (B, p) values of genes, meant to be centred and scaled.
        protein
            (B, q) values of proteins, likewise.
        """
        latent = self.encode(rna, protein)
        return CITEOutput(latent, self.decoder(latent), None if self.head is None else self.head(latent))


def _layer(n_in: int, n_out: int, dropout: float = 0.0) -> nn.Sequential:
    """Linear map, LeakyReLU, batch norm and perhaps dropout."""
    steps = [nn.Linear(n_in, n_out, bias=False), nn.LeakyReLU(), nn.BatchNorm1d(n_out)]
    return nn.Sequential(*steps, *([nn.Dropout(dropout)] if dropout else []))
