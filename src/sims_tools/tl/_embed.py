"""Where cells are in the space that a model's last layer reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sims_tools._docs import docs
from sims_tools._keys import CITE_KEY, Keys
from sims_tools._validate import check_choice, check_positive
from sims_tools.data._paired_cells import RNA_KINDS
from sims_tools.models import CITEAutoencoder, ClassifierModel, load
from sims_tools.tl._gather import gather
from sims_tools.tl._opened import opened
from sims_tools.tl._write import write_embedding

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


@docs.dedent
def embed(
    adata: AnnData | MuData | str | Path,
    model: CITEAutoencoder | ClassifierModel | str | Path,
    *,
    layer: str | None = None,
    input_kind: str = "auto",
    protein_layer: str | None = None,
    modalities: Mapping[str, str] | None = None,
    protein_obsm_key: str | None = None,
    batch_size: int = 512,
    progress_bar: bool = True,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | MuData | None:
    """Write where cells are in a model's latent space, for neighbours, UMAP and figures.

    Of :class:`~sims_tools.models.CITEAutoencoder` that is its bottleneck, of a classifier what its output layer reads.
    Genes, and proteins, are matched by name. Cells are read block by block.

    Parameters
    ----------
    adata
        Cells, stored any way: AnnData, or a MuData of RNA and protein. Only the key under Returns is written.
        %(or_store)s
    model
        A trained model, or the folder of a saved one.
    layer
        Layer that holds the RNA. None reads `.X`; of the very object that an autoencoder was set up with, what was
        named there.
    %(input_kind)s For the autoencoder also "scaled": values are taken as they are.
    protein_layer
        Layer that holds the proteins of a MuData, likewise.
    modalities
        Names of the modalities of a MuData, `{"rna": ..., "protein": ...}`; None takes those the model was set up with.
    protein_obsm_key
        Entry of `.obsm` of an AnnData that holds the proteins, likewise.
    batch_size
        Cells at a time.
    %(progress_bar)s
    key_added
        Name for what is written; None takes "cite" for the autoencoder, and for a classifier the name of its
        architecture, "sims" for SIMS.
    copy
        Write into a copy and return that.

    Returns
    -------
    None, or the copy. This is written:

    `adata.obsm[f"X_{key_added}"]` : :class:`numpy.ndarray` (dtype `float32`)
        Latent space (n_obs, n_latent); of a MuData in the `.obsm` of the whole.

    Raises
    ------
    FileNotFoundError
        There is no model in that folder.
    KeyError
        A modality, layer or entry of `.obsm` does not exist.
    RuntimeError
        The model is not trained.
    TypeError
        `adata` or `model` is something else.
    ValueError
        No cells or features, repeated names, unpaired cells, nearly no shared features, NaN or infinite values, values
        of another kind than the model reads, a backed view, or an argument that does not go with the object.

    Warns
    -----
    UserWarning
        Many of the genes or proteins are missing.

    Examples
    --------
    >>> import scanpy as sc, sims_tools as sims
    >>> cells = sims.data.planted_cells()
    >>> model = sims.tl.sims_train(cells, "cell_type", max_epochs=5, progress_bar=False)
    >>> sims.tl.embed(cells, model, progress_bar=False)
    >>> sc.pp.neighbors(cells, use_rep="X_sims")
    """
    model = load(model) if isinstance(model, str | Path) else model
    check_positive("batch_size", batch_size)
    proteins: dict[str, Any] = {
        "protein_layer": protein_layer,
        "modalities": modalities,
        "protein_obsm_key": protein_obsm_key,
    }
    how: dict[str, Any] = {"batch_size": batch_size, "progress_bar": progress_bar}
    if not isinstance(model, CITEAutoencoder | ClassifierModel):
        raise TypeError(f"`model` is a {type(model).__name__}; expected a trained model or the folder of a saved one.")
    default = CITE_KEY if isinstance(model, CITEAutoencoder) else model.name
    name = Keys(default if key_added is None else key_added).embedding
    with opened(adata, f"obsm/{name}", copy=copy) as target:
        if isinstance(model, CITEAutoencoder):
            check_choice("input_kind", input_kind, RNA_KINDS)
            blocks = model.infer(target, rna_layer=layer, rna_kind=input_kind, **proteins, **how)
            embedding = np.concatenate([each.latent for each in blocks])
        else:
            query = model.query(target, layer=layer, input_kind=input_kind, **proteins)
            embedding = gather(model.read(query, explain=False, **how), target.n_obs, embedding=True).embedding
        write_embedding(target, name, embedding)
    return target if copy else None
