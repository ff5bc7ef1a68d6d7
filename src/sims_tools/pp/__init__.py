"""Looks at the data and never changes it."""

from ._inspect import gene_id_kind, input_kind

__all__ = ["gene_id_kind", "input_kind"]
