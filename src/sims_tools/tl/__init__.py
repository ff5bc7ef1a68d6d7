"""Train, annotate, rank: in place on AnnData."""

from ._annotate import annotate
from ._masks import rank_mask_genes
from ._train import sims_train

__all__ = ["annotate", "rank_mask_genes", "sims_train"]
