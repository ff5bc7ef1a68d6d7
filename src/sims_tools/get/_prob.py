"""Class probabilities as a table."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools.data._labelled_calls import read_prob
from sims_tools.data._obs_columns import cell_names


def prob_df(adata: AnnData | MuData, *, key: str = DEFAULT_KEY) -> pd.DataFrame:
    """Probability of every class for every cell.

    Parameters
    ----------
    adata
        Annotated cells.
    key
        The `key_added` of the annotation.

    Returns
    -------
    Data frame (n_obs, n_classes): cells in rows, the model's classes in columns, in the model's order.

    Examples
    --------
    >>> sims.get.prob_df(adata).loc["AAACCTG-1"].nlargest(3)
    """
    prob, classes = read_prob(adata, Keys(key))
    return pd.DataFrame(prob, index=cell_names(adata), columns=pd.Index(classes))
