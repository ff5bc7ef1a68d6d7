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
        Cells at a time; what is dense is (batch_size, n_genes).
    explain
        Whether masks are wanted.
    progress_bar
        Show a bar over the cells.
    """
    module.eval()
    with tqdm(total=adata.n_obs, unit="cell", desc="annotate", disable=not progress_bar, leave=False) as bar:
        for start, block in iter_blocks(adata, layer, batch_size):
            linear, own = kind.to_linear(block)
            total = own if totals is None else totals[start : start + len(own)]
            yield _infer(module, match.select(linear), total, explain)
            bar.update(block.shape[0])


def _infer(module: Any, counts: sparse.csr_matrix, totals: np.ndarray, explain: bool) -> Inferred:
    batch = to_batch(counts, totals)
    output = module.inference(**module._get_inference_input(batch), explain=explain)
    empty = totals <= 0
    masks = None if output["masks"] is None else _sparse_masks(output["masks"], empty)
    return Inferred(_numpy(output["logits"]), _numpy(output["embedding"]), masks, empty)


def _sparse_masks(masks: Tensor, empty: np.ndarray) -> sparse.csr_matrix:
    dense = _numpy(masks)
    dense[empty] = 0.0
    return sparse.csr_matrix(dense)


def _numpy(tensor: Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()
