"""Scores of an annotation as a table."""

from __future__ import annotations

from typing import Literal

import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_choice
from sims_tools.data._in_memory import uns_entry

_REMEDY = "Run `sims.tl.evaluate(adata, labels_key)` first, with the same `key`."


def evaluation_df(
    adata: AnnData | MuData,
    table: Literal["overall", "per_class", "reliability", "risk_coverage", "confusion", "novel"] = "overall",
    *,
    key: str = DEFAULT_KEY,
) -> pd.DataFrame:
    """One of the tables that :func:`sims_tools.tl.evaluate` has written.

    It tells of the cells that were evaluated: where `adata` has been subset since, evaluate again.

    Parameters
    ----------
    adata
        Annotated cells with an evaluation.
    table
        Which one; :func:`sims_tools.tl.evaluate` says what stands in it. `"novel"` exists only where there were cells
        of types the model does not know.
    key
        The `key_added` of the annotation.

    Returns
    -------
    Data frame, a copy.

    Examples
    --------
    >>> scores = sims.get.evaluation_df(query).set_index(["cells", "score"])["value"]
    >>> scores["known", "macro_f1"]
    """
    name = Keys(key).uns
    stored = uns_entry(adata, name, _REMEDY).get("evaluation")
    if stored is None:
        raise KeyError(f"`adata.uns[{name!r}]` has no 'evaluation'. {_REMEDY}")
    check_choice("table", table, [each for each, value in stored.items() if isinstance(value, pd.DataFrame)])
    return stored[table].copy()
