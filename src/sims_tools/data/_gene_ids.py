"""Gene identifiers: which kind they are, and Ensembl ids without their version."""

from __future__ import annotations

from typing import Literal

import pandas as pd

GeneIdKind = Literal["ensembl", "symbol", "mixed"]

_ENSEMBL = r"^ENS[A-Z]*G\d{6,}"
_VERSIONED = r"^(ENS[A-Z]*G\d{6,})\.\d+$"


def gene_id_kind(names: pd.Index) -> GeneIdKind:
    """Whether names are Ensembl gene ids, symbols, or some of both (each at least a tenth)."""
    share = pd.Series(names, dtype=str).str.match(_ENSEMBL).mean() if len(names) else 0.0
    if share > 0.9:
        return "ensembl"
    return "symbol" if share < 0.1 else "mixed"


def strip_version(names: pd.Index) -> pd.Index:
    """Ensembl ids without the `.N` version suffix; other names unchanged."""
    return pd.Index(pd.Series(names, dtype=str).str.replace(_VERSIONED, r"\1", regex=True))
