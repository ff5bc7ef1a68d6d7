"""The evaluation that a figure draws: the stored one, or one made on the spot."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._keys import UNKNOWN, Keys
from sims_tools.confidence import evaluation_tables
from sims_tools.data._in_memory import uns_or_nothing
from sims_tools.data._labelled_calls import read_calls
from sims_tools.data._obs_columns import obs_column

N_BINS = 15


def evaluation(
    adata: AnnData | MuData, labels_key: str | None, key: str, n_bins: int | None = None
) -> Mapping[str, pd.DataFrame]:
    """Tables by name, as :func:`sims_tools.tl.evaluate` writes them.

    Parameters
    ----------
    adata
        Annotated cells.
    labels_key
        Column with the true labels; None takes the stored evaluation, or the labels that it was made with.
    key
        The `key_added` of the annotation.
    n_bins
        Bins of the confidence; None takes those that are stored.

    Raises
    ------
    KeyError
        There is no such annotation or column, or neither labels nor a stored evaluation.
    """
    keys = Keys(key)
    obs_column(adata, keys.label, "key")
    stored = uns_or_nothing(adata, keys.uns).get("evaluation")
    if labels_key is None and stored is None:
        raise KeyError(
            f"`adata.uns[{keys.uns!r}]` has no 'evaluation'. Run `sims.tl.evaluate(adata, labels_key, key={key!r})` "
            "first, or pass `labels_key`, the column with the true labels."
        )
    if stored is not None and labels_key is None and n_bins is None:
        return {name: table for name, table in stored.items() if isinstance(table, pd.DataFrame)}
    params = {} if stored is None else stored["params"]
    same = labels_key in (None, params.get("labels_key"))
    calls = read_calls(
        adata,
        params["labels_key"] if labels_key is None else labels_key,
        keys,
        unlabeled_category=params.get("unlabeled_category", UNKNOWN) if same else UNKNOWN,
    )
    return evaluation_tables(**vars(calls), n_bins=N_BINS if n_bins is None else n_bins)


def score(tables: Mapping[str, pd.DataFrame], name: str, cells: str) -> float:
    """One number of the table "overall"."""
    table = tables["overall"]
    return float(table.loc[(table["score"] == name) & (table["cells"] == cells), "value"].iloc[0])
