"""Class probabilities as a table."""

from __future__ import annotations

import numpy as np
import pandas as pd
from anndata import AnnData

from sims_tools._keys import DEFAULT_KEY, Keys
from sims_tools._validate import check_obsm_key, check_uns_key

_REMEDY = "Run `sims.tl.annotate` first, and give the same `key` here as `key_added` there."


def prob_df(adata: AnnData, *, key: str = DEFAULT_KEY) -> pd.DataFrame:
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
    keys = Keys(key)
    check_obsm_key(adata, keys.prob, _REMEDY)
    check_uns_key(adata, keys.uns, _REMEDY)
    prob = np.asarray(adata.obsm[keys.prob])
    classes = adata.uns[keys.uns].get("classes", ())
    if len(classes) != prob.shape[1]:
        raise ValueError(
            f"`adata.obsm[{keys.prob!r}]` has {prob.shape[1]} columns, but `adata.uns[{keys.uns!r}]['classes']` "
            f"names {len(classes)}. {_REMEDY}"
        )
    return pd.DataFrame(prob, index=adata.obs_names.copy(), columns=pd.Index(np.asarray(classes, dtype=object)))
