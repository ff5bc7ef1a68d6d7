"""A trained model over stored cells, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from tqdm.auto import tqdm

from sims_tools.data._dataset import to_batch
from sims_tools.data._features import SEEN_PROTEIN, SEEN_RNA
from sims_tools.data._query import Query
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
    seen
        (n,) int8: which modalities there is something of, `SEEN_RNA`, `SEEN_PROTEIN`, both added, or 0.
    """

    logits: np.ndarray
    embedding: np.ndarray
    masks: sparse.csr_matrix | None
    empty: np.ndarray
    seen: np.ndarray


@torch.inference_mode()
def infer_blocks(
    module: Any, query: Query, *, batch_size: int, explain: bool, progress_bar: bool
) -> Iterator[Inferred]:
    """Run a module over all cells of an object that is only read.

    Parameters
    ----------
    module
        A :class:`ClassifierModule`; it is put into evaluation mode.
    query
        The cells, on the model's features.
    batch_size
        Cells at a time. Nothing is dense over genes where the network takes sparse rows.
    explain
        Whether masks are wanted.
    progress_bar
        Show a bar over the cells.
    """
    module.eval()
    with tqdm(total=query.n_obs, unit="cell", desc="annotate", disable=not progress_bar, leave=False) as bar:
        for _, linear, totals in query.blocks(batch_size):
            yield infer_rows(module, linear, totals, explain=explain)
            bar.update(linear.shape[0])


@torch.inference_mode()
def infer_rows(module: Any, counts: sparse.csr_matrix, totals: np.ndarray, *, explain: bool) -> Inferred:
    """Run a module, in the mode it is in, over linear counts (n, n_genes) of cells with some totals (n,)."""
    batch = to_batch(counts, totals)
    with inference_threads(module.network):
        output = module.inference(**module._get_inference_input(batch), explain=explain)
    empty = totals <= 0
    masks = None if output["masks"] is None else _as_csr(output["masks"], empty)
    seen = seen_modalities(counts, totals, getattr(module.transform, "n_proteins", 0))
    return Inferred(_numpy(output["logits"]), _numpy(output["embedding"]), masks, empty, seen)


def seen_modalities(counts: sparse.csr_matrix, totals: np.ndarray, n_proteins: int) -> np.ndarray:
    """(n,) int8: which modalities of cells (n, n_features) there is anything of, 0 for those of no total (n,)."""
    if not n_proteins:
        return np.where(totals > 0, SEEN_RNA, 0).astype(np.int8)
    of_proteins = counts.indices >= counts.shape[1] - n_proteins
    ends = np.concatenate([[0], np.cumsum(of_proteins)])[counts.indptr]
    proteins = np.diff(ends)
    seen = SEEN_RNA * (np.diff(counts.indptr) > proteins) + SEEN_PROTEIN * (proteins > 0)
    return np.where(totals > 0, seen, 0).astype(np.int8)


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
