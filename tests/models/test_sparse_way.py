"""From storage to the network and back without a dense matrix over genes, for a network that takes sparse rows."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn

import sims_tools as sims
from sims_tools.models._inference import infer_rows
from sims_tools.nn import NetworkOutput, SparseRows

RUN = {"max_epochs": 2, "batch_size": 64, "gene_dropout": 0.0, "progress_bar": False}


class Linear(nn.Module):
    """A linear classifier whose masks are the shares of the stored values; some of them are zero."""

    accepts_sparse = True

    def __init__(self, n_genes: int, n_classes: int, **_: Any) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_genes, n_classes) / 10)

    def forward(self, x: Tensor | SparseRows, *, explain: bool = False) -> NetworkOutput:
        if not isinstance(x, SparseRows):
            shares = x * (x > 2)
            masks = shares / shares.sum(1, keepdim=True).clamp_min(1e-9)
            return NetworkOutput(x @ self.weight, x @ self.weight, masks if explain else None, x.new_zeros(()))
        rows = x.row_ids()
        terms = x.values[:, None] * self.weight[x.indices.long()]
        logits = terms.new_zeros(x.n_rows, terms.shape[1]).index_add(0, rows, terms)
        shares = x.values * (x.values > 2)
        sums = shares.new_zeros(x.n_rows).index_add(0, rows, shares).clamp_min(1e-9)
        masks = x.with_values(shares / sums[rows]) if explain else None
        return NetworkOutput(logits, logits, masks, logits.new_zeros(()))


class DenseLinear(Linear):
    """The same network, which wants dense tensors."""

    accepts_sparse = False


def fitted(monkeypatch: pytest.MonkeyPatch, network: type[nn.Module], cells: ad.AnnData, **options: Any) -> Any:
    monkeypatch.setattr(sims.models.SIMS, "Network", network)
    return sims.tl.sims_train(cells, "cell_type", **RUN | options)


def no_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made dense")

    monkeypatch.setattr(SparseRows, "to_dense", refuse)
    for kind in (sparse.csr_matrix, sparse.csc_matrix):
        for name in ("toarray", "todense"):
            monkeypatch.setattr(kind, name, refuse)


@pytest.mark.parametrize("n_top_genes", [None, 30])
def test_nothing_over_genes_is_made_dense(cells, monkeypatch, n_top_genes):
    query = cells[:, ::-1].copy()
    no_dense(monkeypatch)
    model = fitted(monkeypatch, Linear, cells, n_top_genes=n_top_genes, gene_dropout=0.2)
    sims.tl.annotate(cells, model, progress_bar=False)
    sims.tl.annotate(query, model, progress_bar=False)
    np.testing.assert_allclose(query.obsm["sims_prob"], cells.obsm["sims_prob"], atol=1e-6)
    assert model.gene_weights_ is not None


def test_sparse_and_dense_networks_learn_and_say_the_same(cells, monkeypatch):
    found = {}
    for network in (Linear, DenseLinear):
        here = cells.copy()
        counts = here.X.toarray()
        counts[3] = 0  # a cell without counts
        here.X = sparse.csr_matrix(counts)
        model = fitted(monkeypatch, network, here)
        sims.tl.annotate(here, model, progress_bar=False, embedding=True)
        found[network] = (model, here)
    (model, here), (other, there) = found[Linear], found[DenseLinear]
    np.testing.assert_allclose(here.obsm["sims_prob"], there.obsm["sims_prob"], atol=1e-4)
    np.testing.assert_allclose(here.obsm["X_sims"], there.obsm["X_sims"], atol=1e-3)
    np.testing.assert_allclose(model.gene_weights, other.gene_weights, rtol=1e-4, atol=1e-7)
    masks = [each.obsm["sims_masks"] for each in (here, there)]
    for each in masks:
        assert isinstance(each, sparse.csr_matrix)
        assert (each.dtype, each.indices.dtype) == (np.float32, np.int32)
        assert each.has_canonical_format
        assert (each.data > 0).all()  # the network's zeros are not kept
        assert each[3].nnz == 0
    np.testing.assert_allclose(masks[0].toarray(), masks[1].toarray(), atol=1e-6)
    np.testing.assert_array_equal(masks[0].indices, masks[1].indices)


def test_gene_weights_are_the_mean_masks(cells, monkeypatch):
    model = fitted(monkeypatch, Linear, cells)
    sims.tl.annotate(cells, model, progress_bar=False)
    masks = cells.obsm["sims_masks"][(cells.obs["sims_split"] == "train").to_numpy()]
    np.testing.assert_allclose(model.gene_weights, np.asarray(masks.mean(0)).ravel(), rtol=1e-4, atol=1e-8)


class Fixed(nn.Module):
    """Says what it was told to say."""

    accepts_sparse = True

    def __init__(self, masks: Any) -> None:
        super().__init__()
        self.masks, self.nothing = masks, nn.Parameter(torch.zeros(1))

    def forward(self, x: Any, *, explain: bool = False) -> NetworkOutput:
        logits = torch.zeros(x.n_rows, 2)
        return NetworkOutput(logits, logits, self.masks, torch.zeros(()))


@pytest.mark.parametrize("kind", ["sparse", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_masks_of_empty_cells_are_empty_and_zeros_are_left_out(kind, dtype):
    from sims_tools.models._inputs import CountTransform
    from sims_tools.models._module import ClassifierModule

    values = torch.tensor([[0.5, 0, 0.5], [1, 0, 0], [0, 0.25, 0.75], [0, 0, 1]], dtype=dtype)
    stored = SparseRows.from_dense(torch.ones(4, 3, dtype=dtype)).with_values(values.flatten())
    module = ClassifierModule(CountTransform(3), Fixed(stored if kind == "sparse" else values), 2).eval()
    found = infer_rows(module, sparse.csr_matrix(np.eye(4, 3, dtype=np.float32)), np.array([1, 0, 2, 0]), explain=True)
    np.testing.assert_array_equal(found.masks.toarray(), [[0.5, 0, 0.5], [0, 0, 0], [0, 0.25, 0.75], [0, 0, 0]])
    assert found.masks.nnz == 4
    assert found.masks.dtype == np.float32
    np.testing.assert_array_equal(found.empty, [False, True, False, True])
