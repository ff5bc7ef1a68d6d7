"""Classifiers of cells, one file each."""

from ._available import available, get_model_class, load
from ._base import ClassifierModel
from ._preset import Preset
from ._settings import TrainingSettings
from .sims import SIMS

__all__ = ["SIMS", "ClassifierModel", "Preset", "TrainingSettings", "available", "get_model_class", "load"]
