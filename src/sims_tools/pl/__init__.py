"""Figures of an annotation: what was called, how well, and which genes decided."""

from __future__ import annotations

from sims_tools.pl._benchmark import benchmark
from sims_tools.pl._confusion import confusion_matrix
from sims_tools.pl._cross_validation import cross_validation
from sims_tools.pl._distribution import label_distribution
from sims_tools.pl._embedding import embedding
from sims_tools.pl._feature_masks import feature_masks
from sims_tools.pl._history import training_history
from sims_tools.pl._learning_curve import learning_curve
from sims_tools.pl._mask_quality import mask_quality
from sims_tools.pl._modality_share import modality_share
from sims_tools.pl._projector import projector
from sims_tools.pl._reliability import reliability
from sims_tools.pl._risk_coverage import risk_coverage

__all__ = [
    "benchmark",
    "confusion_matrix",
    "cross_validation",
    "embedding",
    "feature_masks",
    "label_distribution",
    "learning_curve",
    "mask_quality",
    "modality_share",
    "projector",
    "reliability",
    "risk_coverage",
    "training_history",
]
