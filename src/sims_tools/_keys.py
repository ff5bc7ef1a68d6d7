"""Every key the package writes into AnnData, built from `key_added`."""

from __future__ import annotations

from dataclasses import dataclass

UNKNOWN = "Unknown"
"""Label of a cell that is not called: unlabelled in a reference, rejected or empty in a query."""

DEFAULT_KEY = "sims"

CITE_KEY = "cite"
"""What names the latent space of the CITE-seq autoencoder."""


@dataclass(frozen=True)
class Keys:
    """Names of the slots that belong to one annotation.

    Parameters
    ----------
    base
        The user's `key_added`.
    """

    base: str = DEFAULT_KEY

    def __post_init__(self) -> None:
        if not isinstance(self.base, str) or not self.base or "/" in self.base:
            raise ValueError(f"{self.base!r} cannot be a key: it must be text, not empty, without '/'.")

    @property
    def label(self) -> str:
        """`.obs`: predicted label, categorical."""
        return self.base

    @property
    def confidence(self) -> str:
        """`.obs`: probability of the predicted label, float32."""
        return f"{self.base}_confidence"

    @property
    def second(self) -> str:
        """`.obs`: label with the second highest probability, categorical."""
        return f"{self.base}_second"

    @property
    def margin(self) -> str:
        """`.obs`: highest less second highest probability, float32."""
        return f"{self.base}_margin"

    @property
    def set_size(self) -> str:
        """`.obs`: classes in the prediction set, int."""
        return f"{self.base}_set_size"

    @property
    def novelty(self) -> str:
        """`.obs`: share of known cells that are less unlike the reference, float32."""
        return f"{self.base}_novelty"

    @property
    def majority(self) -> str:
        """`.obs`: winning label of the cell's cluster, categorical."""
        return f"{self.base}_majority"

    @property
    def majority_share(self) -> str:
        """`.obs`: share of the cluster's cells that carry the winning label, float32."""
        return f"{self.base}_majority_share"

    @property
    def split(self) -> str:
        """`.obs` of a reference: train / validation / unlabeled."""
        return f"{self.base}_split"

    @property
    def prob(self) -> str:
        """`.obsm`: class probabilities, float32 array (n_obs, n_classes)."""
        return f"{self.base}_prob"

    @property
    def sets(self) -> str:
        """`.obsm`: prediction sets, bool CSR matrix (n_obs, n_classes)."""
        return f"{self.base}_sets"

    @property
    def masks(self) -> str:
        """`.obsm`: feature masks, float32 CSR matrix (n_obs, n_features)."""
        return f"{self.base}_masks"

    @property
    def protein_masks(self) -> str:
        """`.obsm` of an AnnData with proteins in `.obsm`: masks over these, float32 CSR matrix (n_obs, n_proteins)."""
        return f"{self.base}_protein_masks"

    @property
    def rna_share(self) -> str:
        """`.obs`: share of genes in the masks, float32."""
        return f"{self.base}_rna_share"

    @property
    def embedding(self) -> str:
        """`.obsm`: float32 array (n_obs, n_latent)."""
        return f"X_{self.base}"

    @property
    def uns(self) -> str:
        """`.uns`: classes, features, params, versions, gene match, history."""
        return self.base

    def top_label(self, rank: int) -> str:
        """`.obs`: label with the `rank`-th highest probability (2 is the runner-up), categorical."""
        return f"{self.base}_top{rank}"

    def top_prob(self, rank: int) -> str:
        """`.obs`: probability of :meth:`top_label`, float32."""
        return f"{self.base}_top{rank}_prob"
