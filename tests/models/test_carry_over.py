"""Starting from a trained model: which weights are taken over, by the names of genes and classes."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pytest
import torch

import sims_tools as sims
from sims_tools.models._inference import infer_rows
from sims_tools.models._inputs import CountTransform

NETWORK = {"n_d": 8, "n_a": 8, "sparsity": 0.0}


def fresh(cells: ad.AnnData, **params: Any) -> Any:
    """An untrained classifier that is shaped as the session's model."""
    sims.models.SIMS.setup_anndata(cells, "cell_type")
    return sims.models.SIMS(cells, random_state=3, **{**NETWORK, "n_members": 1, **params})


def logits(model: Any, cells: ad.AnnData) -> np.ndarray:
    """What the network says now, trained or not."""
    model.module.eval()
    counts = cells[:, model.genes].X.tocsr()
    return infer_rows(model.module, counts, np.asarray(cells.X.sum(1)).ravel(), explain=False).logits


def test_with_the_same_genes_and_classes_it_says_the_same(model, cells):
    new = fresh(cells)
    before = logits(new, cells)
    new.start_from(model)
    np.testing.assert_array_equal(logits(new, cells), logits(model, cells))
    assert np.abs(before - logits(model, cells)).max() > 0.1


def test_genes_in_another_order_say_the_same_too(model, cells):
    mixed = cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy()
    new = fresh(mixed)
    new.start_from(model)
    np.testing.assert_allclose(logits(new, mixed), logits(model, cells), atol=1e-4)


def test_weights_of_shared_genes_and_classes_are_taken_and_others_stay(model, cells):
    some = cells[:, 10:].copy()
    some.var_names = [f"new_{i}" if i >= 40 else name for i, name in enumerate(some.var_names)]
    some.obs["cell_type"] = some.obs["cell_type"].astype(str).replace({"type_0": "other"}).astype("category")
    new, untouched = fresh(some), fresh(some)
    new.start_from(model)
    assert list(new.classes) == ["other", "type_1", "type_2"]
    ours, theirs = new.module.network.state_dict(), model.module.network.state_dict()
    random = untouched.module.network.state_dict()
    for name, dim in (("shared.0.weight", 1), ("attentives.1.linear.weight", 0), ("attentives.0.norm.bn.bias", 0)):
        old = theirs[name].narrow(dim, 10, 40)
        torch.testing.assert_close(ours[name].narrow(dim, 0, 40), old, rtol=0, atol=0)
        torch.testing.assert_close(ours[name].narrow(dim, 40, 10), random[name].narrow(dim, 40, 10), rtol=0, atol=0)
        assert not torch.equal(ours[name], random[name])
    torch.testing.assert_close(ours["head.weight"][1:], theirs["head.weight"][1:], rtol=0, atol=0)
    torch.testing.assert_close(ours["head.weight"][0], random["head.weight"][0], rtol=0, atol=0)
    for name in ("transformers.0.linears.0.weight", "splitter.norms.1.bn.running_mean"):
        torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=0)
    assert new.init_from_ == {
        "model": "sims",
        "n_genes": 60,
        "n_shared_genes": 40,
        "known_classes": ["type_1", "type_2"],
    }


def test_known_genes_stay_scaled_as_they_were(model, cells):
    cells = cells[:, 10:].copy()
    cells.X = cells.X.multiply(np.linspace(0.2, 5, cells.n_vars)).tocsr()  # of another variance
    cells.var_names = [f"new_{i}" if i >= 40 else name for i, name in enumerate(cells.var_names)]
    new, other = fresh(cells), fresh(cells)
    new.start_from(model)
    for each in (new, other):
        each.train(1, batch_size=64, progress_bar=False)
    scale, old = new.module.transform.gene_scale, model.module.transform.gene_scale
    torch.testing.assert_close(scale[:40], old[10:50], rtol=0, atol=0)
    torch.testing.assert_close(scale[40:], other.module.transform.gene_scale[40:])
    assert not torch.allclose(scale[:40], other.module.transform.gene_scale[:40])


def test_a_gene_that_was_silent_is_scaled_anew():
    transform, other = CountTransform(3, scale_genes=True), CountTransform(2, scale_genes=True)
    other.fit(torch.tensor([1 / 49, 0.0]))
    transform.take_scale(other, torch.tensor([0, 2]), torch.tensor([1, 0]))
    transform.fit(torch.tensor([4.0, 0.25, 1.0]))
    torch.testing.assert_close(transform.gene_scale, torch.tensor([0.5, 2.0, 7.0]))


def test_more_networks_take_encoders_in_turn_with_heads_of_their_own(model, cells):
    new = fresh(cells, n_members=3)
    untouched = fresh(cells, n_members=3)
    new.start_from(model)
    own, random = ([each.state_dict() for each in one.networks] for one in (new, untouched))
    for each in own:
        torch.testing.assert_close(each["shared.0.weight"], own[0]["shared.0.weight"], rtol=0, atol=0)
    torch.testing.assert_close(own[0]["head.weight"], model.module.network.head.weight, rtol=0, atol=0)
    torch.testing.assert_close(own[2]["head.weight"], random[2]["head.weight"], rtol=0, atol=0)


def test_what_does_not_fit_is_refused(model, cells):
    with pytest.raises(ValueError, match=r"do not fit.*`n_d=8`, not 4.*Leave these out"):
        fresh(cells, n_d=4).start_from(model)
    with pytest.raises(ValueError, match=r"do not fit.*`n_steps=3`, not 2"):
        fresh(cells, n_steps=2).start_from(model)
    with pytest.raises(ValueError, match=r"do not fit.*`center=False`, not True"):
        fresh(cells, center=True).start_from(model)
    with pytest.raises(ValueError, match=r"`scale_genes=True`, not False; leave `scale_genes` out"):
        fresh(cells, scale_genes=False).start_from(model)
    with pytest.raises(RuntimeError, match="not trained"):
        fresh(cells).start_from(fresh(cells))
    with pytest.raises(TypeError, match="is a str"):
        fresh(cells).start_from("model")
    other = cells.copy()
    other.var_names = [f"other_{i}" for i in range(other.n_vars)]
    with pytest.raises(ValueError, match=r"None of the 60 genes .* without `init_from`"):
        fresh(other).start_from(model)
