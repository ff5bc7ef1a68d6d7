"""Stored data to minibatches: alignment by gene name, input kinds, splits, blocks, planted cells."""

from ._read_cells import read_cells
from ._synthetic import planted_cells
from ._synthetic_cite import planted_cite

__all__ = ["planted_cells", "planted_cite", "read_cells"]
