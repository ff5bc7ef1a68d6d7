"""Plain networks of linear layers, against numpy."""

import numpy as np
import pytest
import torch

from sims_tools.nn import MLP, InputLinear, SparseRows


def rows(seed=0, n=7, p=20):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, p, generator=generator)
    x[torch.rand(n, p, generator=generator) < 0.6] = 0
    x[2] = 0
    return x


@pytest.mark.parametrize("n_out", [1, 5])
def test_the_first_layer_reads_sparse_rows_as_it_reads_dense_ones(n_out):
    x = rows()
    torch.manual_seed(0)
    layer, twin = InputLinear(20, n_out), torch.nn.Linear(20, n_out)
    twin.load_state_dict(layer.state_dict())
    weights = torch.randn(7, n_out)
    grads = []
    for each, given in ((layer, SparseRows.from_dense(x)), (layer, x), (twin, x)):
        each.zero_grad()
        out = each(given)
        (out * weights).sum().backward()
        grads.append((out.detach(), each.weight.grad.clone(), each.bias.grad.clone()))
    for found in grads[:2]:
        for a, b in zip(found, grads[2], strict=True):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_a_stored_zero_is_a_zero():
    x = SparseRows(torch.tensor([0, 2]), torch.tensor([1, 3], dtype=torch.int32), torch.tensor([0.0, 2.0]), 5)
    layer = InputLinear(5, 3)
    torch.testing.assert_close(layer(x), layer(x.to_dense()))


@pytest.mark.parametrize("hidden", [(4,), (6, 5, 3)])
def test_its_layers_are_those_of_numpy(hidden):
    network = MLP(20, 3, hidden=hidden, dropout=0.5).eval()
    state = {name: value.numpy().astype(float) for name, value in network.state_dict().items()}
    x = rows()
    found, z = network(SparseRows.from_dense(x), explain=True), x.numpy().astype(float)
    for i in range(len(hidden)):
        z = np.maximum(z @ state[f"hidden.{i}.weight"].T + state[f"hidden.{i}.bias"], 0)
    np.testing.assert_allclose(found.embedding.detach(), z, rtol=1e-5, atol=1e-6)
    expected = z @ state["output.weight"].T + state["output.bias"]
    np.testing.assert_allclose(found.logits.detach(), expected, rtol=1e-5, atol=1e-6)
    assert found.masks is None
    assert found.penalty == 0


def test_dropout_is_between_the_layers_and_only_while_training():
    network = MLP(20, 3, hidden=(50, 40, 30), dropout=0.9)
    x = torch.ones(1, 20)
    first, second = network(x), network(x)
    assert not torch.equal(first.logits, second.logits)
    single = MLP(20, 3, hidden=(50,), dropout=0.9)
    assert torch.equal(single(x).logits, single(x).logits)
    network.eval()
    assert torch.equal(network(x).logits, network(x).logits)


def test_xavier_is_uniform_within_its_bound():
    torch.manual_seed(0)
    network = MLP(200, 3, hidden=(100, 50), xavier=True)
    for layer in (*network.hidden, network.output):
        bound = np.sqrt(6 / sum(layer.weight.shape))
        assert layer.weight.abs().max() <= bound
        assert layer.bias.abs().max() == 0
    assert network.hidden[0].weight.abs().max() > 0.99 * np.sqrt(6 / 300)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"hidden": ()}, "hidden=()"), ({"hidden": (4, 0)}, "above 0"), ({"hidden": (4,), "dropout": 1.0}, "dropout=1.0")],
)
def test_sizes_that_make_no_sense_are_refused(options, message):
    with pytest.raises(ValueError, match=message.replace("(", r"\(").replace(")", r"\)")):
        MLP(20, 3, **options)
