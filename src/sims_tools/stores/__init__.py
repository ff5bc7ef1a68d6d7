"""Stores larger than memory: blocks of cells in, an annotation appended; no model is known here."""
