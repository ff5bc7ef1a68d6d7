"""Stored data to minibatches: alignment by gene name, input kinds, splits, blocks, planted cells."""

from ._synthetic import planted_cells

__all__ = ["planted_cells"]
