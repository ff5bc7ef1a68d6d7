"""What a matrix and its gene names look like."""

from __future__ import annotations

from anndata import AnnData

from sims_tools._validate import check_object
from sims_tools.data._blocks import sample_rows
from sims_tools.data._gene_ids import GeneIdKind
from sims_tools.data._gene_ids import gene_id_kind as _gene_id_kind
from sims_tools.data._kind import Scale, classify


def input_kind(adata: AnnData, *, layer: str | None = None) -> Scale:
    """Tell what the values of a matrix are, from up to about 1,000 cells spread over the object.

    Parameters
    ----------
    adata
        Any AnnData; it is only read.
    layer
        Name of the layer to look at; None looks at `.X`.

    Returns
    -------
    "counts" (whole numbers), "linear" (normalised but not logged), "log1p", "scaled" (some values are negative; not
    usable for annotation) or "invalid" (NaN or infinite values).

    Raises
    ------
    KeyError
        `layer` does not exist.
    ValueError
        There are no cells or no genes.
    """
    return classify(sample_rows(adata, layer)).scale


def gene_id_kind(adata: AnnData) -> GeneIdKind:
    """Tell whether `adata.var_names` are Ensembl ids ("ensembl"), symbols ("symbol") or both ("mixed").

    Parameters
    ----------
    adata
        Any AnnData; it is only read.
    """
    check_object(adata)
    return _gene_id_kind(adata.var_names)
