"""Classifiers of cells, as their users run them; one file each."""

from __future__ import annotations

from importlib import import_module

from .base import Method

METHODS = {
    "logistic": "LogisticRegressionAllGenes",
    "svm": "LinearSVM",
    "forest": "RandomForest",
    "boosting": "GradientBoosting",
    "knn": "NearestNeighbours",
    "celltypist": "CellTypist",
    "scanvi": "ScANVI",
    "actinn": "ACTINN",
    "tabnet": "PytorchTabNet",
    "ours": "Ours",
}
"""Classes by name; each file has the name of its method. `ours` is last."""


DEFAULT_NAME = "sims-tools"
"""Of ours in the results, with its default preset."""


TITLES = {
    "logistic": "logistic regression",
    "svm": "linear SVM",
    "forest": "random forest",
    "boosting": "gradient boosting",
    "knn": "kNN on PCA",
    "celltypist": "CellTypist",
    "scanvi": "scANVI",
    "actinn": "ACTINN",
    "tabnet": "pytorch-tabnet",
}
"""Of peers, in tables."""


def load(name: str) -> type[Method]:
    """The class of a method. An ImportError says that its package is not there."""
    return getattr(import_module(f"{__name__}.{name}"), METHODS[name])
