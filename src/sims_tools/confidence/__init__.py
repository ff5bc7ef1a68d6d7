"""From logits to what can be trusted: calibrated probabilities, calls, runners-up, votes, sets of classes, novelty."""

from ._calibration import Temperature
from ._calibration_scores import brier_score, calibration_error, negative_log_likelihood, reliability_table
from ._conformal import Conformal, Thresholds
from ._evaluation import evaluation_tables
from ._expression import ExpressionNovelty
from ._mahalanobis import Mahalanobis
from ._neighbours import NeighbourDistance
from ._novelty import Energy, rejection_threshold
from ._probabilities import Calls, call_labels, restrict, runners_up, softmax
from ._risk_coverage import risk_coverage_area, risk_coverage_curve
from ._vote import majority_vote

__all__ = [
    "Calls",
    "Conformal",
    "Energy",
    "ExpressionNovelty",
    "Mahalanobis",
    "NeighbourDistance",
    "Temperature",
    "Thresholds",
    "brier_score",
    "calibration_error",
    "call_labels",
    "evaluation_tables",
    "majority_vote",
    "negative_log_likelihood",
    "rejection_threshold",
    "reliability_table",
    "restrict",
    "risk_coverage_area",
    "risk_coverage_curve",
    "runners_up",
    "softmax",
]
