"""ACTINN beside what its paper and its deepchem version say."""

import numpy as np
import pytest
import torch

import sims_tools as sims

QUIET = {"progress_bar": False}


@pytest.fixture(scope="module")
def reference():
    return sims.data.planted_cells(300, 120, 3)


@pytest.fixture(scope="module")
def trained(reference):
    cells = reference.copy()
    model = sims.tl.train(cells, "cell_type", model="actinn", max_epochs=3, learning_rate=0.003, batch_size=32, **QUIET)
    return model, cells


def by_hand(cells, genes, weights):
    """log2(1 + CP10K) of the genes, through 100, 50 and 25 units with ReLU: (n, classes) logits and (n, 25) units."""
    counts = cells.X.toarray().astype(float)
    x = np.log2(counts / counts.sum(1, keepdims=True) * 10_000 + 1)[:, cells.var_names.get_indexer(genes)]
    for i, width in enumerate((100, 50, 25)):
        kernel, bias = weights[f"network.hidden.{i}.weight"], weights[f"network.hidden.{i}.bias"]
        assert kernel.shape == (width, x.shape[1])
        x = np.where(x @ kernel.T + bias > 0, x @ kernel.T + bias, 0)
    return x @ weights["network.output.weight"].T + weights["network.output.bias"], x


def test_its_answers_are_those_of_the_published_network(trained):
    model, cells = trained
    weights = {name: value.numpy().astype(float) for name, value in model.module.state_dict().items()}
    logits, units = by_hand(cells, model.genes, weights)
    found = list(model.infer(cells))
    np.testing.assert_allclose(np.concatenate([each.logits for each in found]), logits, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([each.embedding for each in found]), units, rtol=1e-4, atol=1e-4)


def test_its_recipe_is_the_published_one():
    recipe = sims.models.ACTINN.presets["default"]
    training = recipe.training
    assert (training.max_epochs, training.batch_size, training.optimizer) == (50, 128, "Adam")
    assert (training.learning_rate, training.weight_decay) == (1e-4, 0.005)
    assert (training.schedule, training.lr_factor, training.lr_steps) == ("steps", 0.95, 1000)
    assert (training.class_weights, training.gradient_clip, training.weight_average) == (0, 0, 0)
    assert (recipe.gene_choice, recipe.n_members, recipe.gene_dropout) == ("expression_percentiles", 1, 0)


def test_outlying_genes_of_the_training_cells_are_left_out(trained):
    model, cells = trained
    counts = cells.X.toarray()[(cells.obs["actinn_split"] == "train").to_numpy()].astype(float)
    x = np.log2(counts / counts.sum(1, keepdims=True) * 1e4 + 1)
    names = cells.var_names
    for score in (lambda x: x.sum(0), lambda x: x.std(0) / x.mean(0)):
        low, high = np.percentile(score(x), [1, 99])
        kept = (score(x) >= low) & (score(x) <= high)
        x, names = x[:, kept], names[kept]
    assert list(model.genes) == list(names)
    assert len(names) < 120


def test_the_rate_falls_after_every_so_many_minibatches(cells):
    from lightning.pytorch.callbacks import Callback

    rates = []

    class Watch(Callback):
        def on_train_batch_start(self, trainer, *_):
            rates.append(trainer.optimizers[0].param_groups[0]["lr"])

    sims.tl.train(
        cells, "cell_type", model="actinn", max_epochs=2, batch_size=30, lr_steps=4, callbacks=Watch(), **QUIET
    )
    assert len(rates) == 2 * 6
    np.testing.assert_allclose(rates, 1e-4 * 0.95 ** (np.arange(12) // 4))


def test_its_training_is_that_of_torch_step_by_step(reference):
    """One epoch from the same weights, by torch's own Adam with L2 and a loop written out."""
    cells = reference.copy()
    start, batches = {}, []
    from lightning.pytorch.callbacks import Callback

    class Watch(Callback):
        def on_train_start(self, trainer, plan):
            start.update({name: value.clone() for name, value in plan.module.network.state_dict().items()})

        def on_train_batch_start(self, trainer, plan, batch, index):
            batches.append((batch["X"].to_dense(), batch["total_counts"], batch["labels"].view(-1)))

    model = sims.tl.train(
        cells, "cell_type", model="actinn", max_epochs=2, learning_rate=0.01, callbacks=Watch(), **QUIET
    )
    widths = [len(model.genes), 100, 50, 25, 3]
    linear = [torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:], strict=False)]
    twin = torch.nn.Sequential(*[each for layer in linear for each in (layer, torch.nn.ReLU())][:-1])
    twin.load_state_dict(dict(zip(twin.state_dict(), start.values(), strict=True)))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01, weight_decay=0.005)
    for counts, totals, labels in batches:
        loss = torch.nn.functional.cross_entropy(twin(torch.log2(counts / totals * 1e4 + 1)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for found, expected in zip(model.module.network.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
