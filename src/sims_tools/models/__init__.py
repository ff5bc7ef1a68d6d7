"""Classifiers of cells, and the autoencoder of CITE-seq data, one file each."""

from ._available import available, get_model_class, load
from ._base import ClassifierModel
from ._preset import Preset
from ._settings import TrainingSettings
from .actinn import ACTINN
from .cite_autoencoder import CITEAutoencoder
from .pollock import Pollock
from .pretrained import PretrainedSIMS
from .sims import SIMS
from .transformer import CellTransformer

__all__ = [
    "ACTINN",
    "SIMS",
    "CITEAutoencoder",
    "CellTransformer",
    "ClassifierModel",
    "Pollock",
    "Preset",
    "PretrainedSIMS",
    "TrainingSettings",
    "available",
    "get_model_class",
    "load",
]
