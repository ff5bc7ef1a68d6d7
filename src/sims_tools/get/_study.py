"""Tables of a study."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._keys import Keys
from sims_tools._validate import check_choice, listing
from sims_tools.data._in_memory import uns_entry

_REMEDY = "Run `sims.tl.cross_validate`, `sims.tl.learning_curve` or `sims.tl.benchmark` first."


def study_df(
    adata: AnnData | MuData, study: str, table: Literal["scores", "per_class", "history"] = "scores"
) -> pd.DataFrame:
    """One of the tables that a study has written.

    Parameters
    ----------
    adata
        Cells with a study: :func:`sims_tools.tl.cross_validate`, :func:`sims_tools.tl.learning_curve` or
        :func:`sims_tools.tl.benchmark`, which says what stands in the tables.
    study
        Its `key_added`, by default "cross_validation", "learning_curve" or "benchmark".
    table
        Which one; "history" exists only where a method tracks its training.

    Returns
    -------
    Data frame, a copy.

    Raises
    ------
    KeyError
        There is no such study.
    ValueError
        It has no such table.

    Examples
    --------
    >>> sims.get.study_df(adata, "benchmark").groupby("model")[["accuracy", "macro_f1"]].mean()
    """
    name = Keys(study).uns
    stored = uns_entry(adata, name, _REMEDY)
    if not isinstance(stored, Mapping) or "study" not in stored:
        found = [key for key, value in adata.uns.items() if isinstance(value, Mapping) and "study" in value]
        raise KeyError(f"`adata.uns[{name!r}]` is not a study; studies are {listing(found)}. {_REMEDY}")
    check_choice("table", table, [each for each, value in stored.items() if isinstance(value, pd.DataFrame)])
    return stored[table].copy()
