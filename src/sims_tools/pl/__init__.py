"""Figures of an annotation: what was called, how well, and which genes decided."""

from __future__ import annotations

from sims_tools.pl._confusion import confusion_matrix
from sims_tools.pl._distribution import label_distribution
from sims_tools.pl._feature_masks import feature_masks
from sims_tools.pl._history import training_history

__all__ = ["confusion_matrix", "feature_masks", "label_distribution", "training_history"]
