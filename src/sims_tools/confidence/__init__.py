"""From logits to what can be trusted: calibrated probabilities, calls, runners-up, votes, sets of classes, novelty."""

from ._calibration import Temperature
from ._calibration_scores import brier_score, calibration_error, negative_log_likelihood, reliability_table
from ._conformal import Conformal, Thresholds
from ._mahalanobis import Mahalanobis
from ._neighbours import NeighbourDistance
from ._novelty import Energy, rejection_threshold
from ._probabilities import Calls, call_labels, restrict, runners_up, softmax
from ._vote import majority_vote

__all__ = [
    "Calls",
    "Conformal",
    "Energy",
    "Mahalanobis",
    "NeighbourDistance",
    "Temperature",
    "Thresholds",
    "brier_score",
    "calibration_error",
    "call_labels",
    "majority_vote",
    "negative_log_likelihood",
    "rejection_threshold",
    "reliability_table",
    "restrict",
    "runners_up",
    "softmax",
]
