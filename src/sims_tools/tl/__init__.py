"""Train, annotate, rank: in place on AnnData."""

from ._annotate import annotate
from ._embed import embed
from ._evaluate import evaluate
from ._evaluate_masks import evaluate_masks
from ._masks import rank_mask_genes
from ._train import sims_train, train

__all__ = ["annotate", "embed", "evaluate", "evaluate_masks", "rank_mask_genes", "sims_train", "train"]
