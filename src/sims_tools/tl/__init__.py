"""Train, annotate, rank: in place on AnnData."""

from ._annotate import annotate
from ._benchmark import benchmark
from ._cross_validate import cross_validate
from ._embed import embed
from ._evaluate import evaluate
from ._evaluate_masks import evaluate_masks
from ._learning_curve import learning_curve
from ._masks import rank_mask_genes
from ._pretrain import pretrain
from ._train import sims_train, train

__all__ = [
    "annotate",
    "benchmark",
    "cross_validate",
    "embed",
    "evaluate",
    "evaluate_masks",
    "learning_curve",
    "pretrain",
    "rank_mask_genes",
    "sims_train",
    "train",
]
