"""A trained model over stored cells, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from anndata import AnnData
from scipy import sparse
from torch import Tensor
from tqdm.auto import tqdm

from sims_tools.data._align import GeneMatch
from sims_tools.data._blocks import iter_blocks
from sims_tools.data._dataset import to_batch
from sims_tools.data._kind import InputKind
from sims_tools.models._threads import inference_threads
from sims_tools.nn import SparseRows


class Inferred(NamedTuple):
    """What the network says of n consecutive cells.

    Attributes
    ----------
    logits
        (n, n_classes) float32.
    embedding
        (n, n_latent) float32.
    masks
        (n, n_genes) float32 CSR, rows sum to 1 (all zero for a cell without counts); None where not asked.
    empty
        (n,) bool: the cell has no counts at all.
    """

    logits: np.ndarray
    embedding: np.ndarray
    masks: sparse.csr_matrix | None
    empty: np.ndarray


@torch.inference_mode()
def infer_blocks(
    module: Any,
    adata: AnnData,
    match: GeneMatch,
    kind: InputKind,
    *,
    layer: str | None,
    totals: np.ndarray | None,
    batch_size: int,
    explain: bool,
    progress_bar: bool,
) -> Iterator[Inferred]:
    """Run a module over all cells of an object that is only read.

    Parameters
    ----------
    module
        A :class:`ClassifierModule`; it is put into evaluation mode.
    adata
        The cells, stored any way.
    match
        Its genes on the model's.
    kind
        What its values are.
    layer
        Where the values are; None is `.X`.
    totals
        (n_obs,) totals to use instead of those of the values.
    batch_size
        Cells at a time. Nothing is dense over genes where the network takes sparse rows.
    explain
        Whether masks are wanted.
    progress_bar
        Show a bar over the cells.
    """
    module.eval()
    with tqdm(total=adata.n_obs, unit="cell", desc="annotate", disable=not progress_bar, leave=False) as bar:
        for start, block in iter_blocks(adata, layer, batch_size):
            known = None if totals is None else totals[start : start + block.shape[0]]
            linear, total = kind.to_linear(block, known)
            yield infer_rows(module, match.select(linear), total, explain=explain)
            bar.update(block.shape[0])


@torch.inference_mode()
def infer_rows(module: Any, counts: sparse.csr_matrix, totals: np.ndarray, *, explain: bool) -> Inferred:
    """Run a module, in the mode it is in, over linear counts (n, n_genes) of cells with some totals (n,)."""
    batch = to_batch(counts, totals)
    with inference_threads(module.network):
        output = module.inference(**module._get_inference_input(batch), explain=explain)
    empty = totals <= 0
    masks = None if output["masks"] is None else _as_csr(output["masks"], empty)
    return Inferred(_numpy(output["logits"]), _numpy(output["embedding"]), masks, empty)


def _as_csr(masks: Tensor | SparseRows, empty: np.ndarray) -> sparse.csr_matrix:
    """Masks (n, n_genes) without zeros, and without those of empty cells."""
    if not isinstance(masks, SparseRows):
        dense = _numpy(masks)
        dense[empty] = 0.0
        return sparse.csr_matrix(dense)
    indptr, indices, values = map(_numpy, (masks.indptr, masks.indices, masks.values))
    kept = (values != 0) & ~np.repeat(empty, np.diff(indptr))
    if not kept.all():
        indptr = np.concatenate([[0], np.cumsum(kept)])[indptr]
        indices, values = indices[kept], values[kept]
    return sparse.csr_matrix((values, indices, indptr), shape=masks.shape)


def _numpy(tensor: Tensor) -> np.ndarray:
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
