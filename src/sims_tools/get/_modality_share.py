"""Which modality decided, as a table."""

from __future__ import annotations

import pandas as pd
from anndata import AnnData
from mudata import MuData

from sims_tools._docs import docs
from sims_tools._keys import DEFAULT_KEY
from sims_tools.data._modality_share import share_table


@docs.dedent
def modality_share_df(adata: AnnData | MuData, *, groupby: str | None = None, key: str = DEFAULT_KEY) -> pd.DataFrame:
    """How much of the masks lies on genes and how much on proteins, for each group of cells.

    Parameters
    ----------
    adata
        Cells annotated with masks by a model of genes and proteins.
    groupby
        Column of `.obs` with the groups; by default the annotation itself.
    %(key)s

    Returns
    -------
    Data frame with one row per group, in the order of the categories:

    `group`
        Its name.
    `n_cells`
        Cells of it that have a mask.
    `rna`, `protein`
        Mean share of the masks; they sum to 1.
    `rna_q25`, `rna_median`, `rna_q75`
        Quartiles of the genes' share over its cells.

    Examples
    --------
    >>> sims.get.modality_share_df(mdata).sort_values("protein", ascending=False)
    """
    return share_table(adata, groupby, key)
