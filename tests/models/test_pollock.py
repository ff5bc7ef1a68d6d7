"""SimplePollock beside its tutorial."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import sims_tools as sims

QUIET = {"progress_bar": False}


@pytest.fixture(scope="module")
def trained():
    cells = sims.data.planted_cells(300, 80, 3)
    cells.X[:, 7] = 0
    cells.X.eliminate_zeros()
    model = sims.tl.train(cells, "cell_type", model="pollock", max_epochs=2, hidden=(64, 32, 16), **QUIET)
    return model, cells


def z_scores(cells, train):
    """scanpy's steps, the last with the mean and deviation of the training cells."""
    adata = ad.AnnData(cells.X.copy(), var=cells.var[[]])
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    x = adata.X.toarray().astype(float)
    reference = ad.AnnData(x[train])
    sc.pp.scale(reference)
    mean, deviation = x[train].mean(0), x[train].std(0, ddof=1)
    z = (x - mean) / np.where(deviation > 0, deviation, 1)
    np.testing.assert_allclose(z[train], reference.X, rtol=1e-5, atol=1e-5)
    return z


def test_its_answers_are_those_of_the_published_network(trained):
    model, cells = trained
    z = z_scores(cells, (cells.obs["pollock_split"] == "train").to_numpy())
    x = z[:, cells.var_names.get_indexer(model.genes)]
    weights = {name: value.numpy().astype(float) for name, value in model.module.network.state_dict().items()}
    for i in range(3):
        x = np.maximum(x @ weights[f"hidden.{i}.weight"].T + weights[f"hidden.{i}.bias"], 0)
    logits = x @ weights["output.weight"].T + weights["output.bias"]
    found = list(model.infer(cells))
    np.testing.assert_allclose(np.concatenate([each.logits for each in found]), logits, rtol=1e-3, atol=1e-4)
    sims.tl.embed(cells, model, **QUIET)
    np.testing.assert_allclose(cells.obsm["X_pollock"], x, rtol=1e-3, atol=1e-4)


def test_its_recipe_is_the_published_one():
    recipe = sims.models.Pollock.presets["tutorial"]
    training = recipe.training
    assert (training.max_epochs, training.batch_size, training.optimizer) == (10, 64, "Adam")
    assert (training.learning_rate, training.weight_decay, training.schedule) == (1e-4, 0, "constant")
    assert (training.class_weights, training.gradient_clip, training.weight_average) == (0, 0, 0)
    limits = recipe.cell_filter
    assert (limits.min_genes, limits.max_genes, limits.max_mitochondrial) == (200, 2500, 0.05)
    network = sims.models.Pollock.Network(700, 8)
    shapes = [tuple(layer.weight.shape) for layer in (*network.hidden, network.output)]
    assert shapes == [(1028, 700), (256, 1028), (128, 256), (8, 128)]
    assert network.dropout == 0.2


def test_genes_of_fewer_than_three_training_cells_are_left_out(trained):
    model, cells = trained
    train = (cells.obs["pollock_split"] == "train").to_numpy()
    n_cells = np.asarray((cells.X[train] > 0).sum(0)).ravel()
    assert list(model.genes) == list(cells.var_names[n_cells >= 3])
    assert cells.var_names[7] not in model.genes


def test_the_tutorials_filter_leaves_cells_out(cells):
    wide = sims.data.planted_cells(150, 1500, 3, mean_total=1500)
    n_genes = np.asarray((wide.X > 0).sum(1)).ravel()
    limit = int(np.quantile(n_genes, 0.8))
    sims.tl.train(
        wide, "cell_type", model="pollock", preset="tutorial", max_genes=limit, max_epochs=1, hidden=[8], **QUIET
    )
    np.testing.assert_array_equal(wide.obs["pollock_split"] == "unlabeled", (n_genes < 200) | (n_genes >= limit))
    with pytest.raises(ValueError, match="min_genes=200.*leaves 0 labelled cells"):
        sims.tl.train(cells, "cell_type", model="pollock", preset="tutorial", **QUIET)


def test_a_loss_of_logits_learns_what_a_second_softmax_hides(cells):
    """The mistake of the tutorial, kept out: a clear call's loss goes to zero, not to what a softmax of it leaves."""
    model = sims.tl.train(
        cells, "cell_type", model="pollock", max_epochs=15, learning_rate=5e-3, hidden=(64, 16), **QUIET
    )
    floor = -np.log(np.e / (np.e + 2))  # cross-entropy of the softmax of a softmax that is certain
    assert model.metrics["train_loss"] < 0.2 * floor


def test_a_modality_that_was_not_measured_is_at_the_mean(cite):
    model = sims.tl.train(cite, "cell_type", model="pollock", max_epochs=1, hidden=[8], **QUIET)
    counts, totals = model.query(cite.mod["rna"]).read(np.arange(5))
    import torch

    from sims_tools.data._dataset import to_batch

    batch = to_batch(counts, totals)
    x = model.module.transform(batch["X"].to(torch.float32), batch["total_counts"])
    assert (x[:, -6:] == 0).all()
    assert (x[:, :-6] != 0).all()
